package danmaku_test

import (
	"context"
	"fmt"
	"time"

	danmaku "github.com/danmakud/danmakud/clients/go"
)

// A bot that answers "!time".
func ExampleJoin() {
	server, end := danmaku.ServerForExample()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go ask(ctx, server, "!time")

	bot, err := danmaku.Join(ctx, server, "lobby", danmaku.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bot.Close()
	for event := range bot.Events() {
		batch, _ := event.(*danmaku.Batch)
		for i := 0; batch != nil && i < len(batch.Comments); i++ {
			if batch.Comments[i].Text == "!time" {
				_, err := bot.Send(ctx, "it is time", danmaku.Look{Mode: "top"})
				fmt.Println("answered:", err == nil)
				return // this one says it once
			}
		}
	}
	// Output: answered: true
}

// ask says something until the example ends, since the bot may not be there yet.
func ask(ctx context.Context, server, text string) {
	viewer, err := danmaku.Join(ctx, server, "lobby", danmaku.Options{})
	if err != nil {
		return
	}
	defer viewer.Close()
	for ctx.Err() == nil {
		viewer.Send(ctx, text, danmaku.Look{})
		time.Sleep(50 * time.Millisecond)
	}
}
