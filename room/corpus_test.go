package room

import (
	"math"
	"math/rand/v2"
	"strings"
)

// chatter says what viewers of a live video say, for judging compression: half
// of it is what everybody says, by popularity, and half are sentences put
// together from words, which repeat far less.
type chatter struct {
	random *rand.Rand
	said   uint64
}

func newChatter(seed uint64) *chatter {
	return &chatter{random: rand.New(rand.NewPCG(seed, 4))}
}

var stockPhrases = strings.Fields(`
666 哈哈哈哈 来了 前方高能 好耶 233 主播好 泪目 ？？？ 绝了 awsl 笑死 冲冲冲 打卡 下次一定 名场面 lol 好听 gg 太强了
nice 可爱 好家伙 稳住 救命 真的假的 啊啊啊啊啊 牛 第一 晚上好 在吗 破防了 yyds 卡了 好看 加油 辛苦了 爷青回 wow 全体起立
88 别走 关注了 今天吃什么 太真实了 欢迎 respect 不愧是你 hahaha 怎么回事 🎉🎉🎉 ❤️ 😂😂 👍 🔥🔥 求歌名 保护 声音小了 弹幕护体 妙啊`)

var chatWords = strings.Fields(`
我 你 他 她 我们 你们 大家 这个 那个 这里 那边 今天 昨天 明天 刚才 现在 以前 后来 上次 下次 真的 好像 可能 应该 其实 居然 果然 突然 一直 已经
还是 就是 不是 没有 觉得 知道 喜欢 希望 记得 忘了 看到 听说 发现 开始 结束 等等 快点 慢慢 终于 差点 一起 继续 不会 可以 能不能 要不要 怎么 什么
为什么 哪里 多少 几点 时候 地方 朋友 老师 同学 弟弟 姐姐 老板 观众 房间 画面 声音 音乐 歌词 故事 剧情 角色 结局 游戏 装备 对面 队友 操作 技能 地图
手机 电脑 网络 耳机 键盘 晚饭 奶茶 火锅 周末 假期 工作 作业 考试 天气 下雨 城市 回家 睡觉 起床 厉害 漂亮 有趣 奇怪 难受 开心 安静 温柔 可惜 完美
太 很 最 都 也 又 再 才 只 把 被 给 跟 比 从 的 了 吧 呢 啊 吗 嘛 哦 the is that so good what play this song stream again from here love it`)

// say makes a comment of a random viewer; three in four are plain white.
func (c *chatter) say() *Comment {
	c.said++
	r := c.random
	m := &Comment{UID: 1 + r.Uint64N(200_000), Color: ColorDefault}
	if r.IntN(4) == 0 {
		m.Color = uint32([]int{0xFF0000, 0x00CD00, 0x66CCFF, 0xFFD302, 0xE33FFF}[r.IntN(5)])
	}
	if r.IntN(20) == 0 {
		m.Mode = ModeTop
	}
	if r.IntN(2) == 0 {
		at := int(math.Pow(float64(len(stockPhrases)), r.Float64())) - 1 // about Zipf
		m.Text = stockPhrases[at]
		return m
	}
	var text strings.Builder
	for range 2 + r.IntN(7) {
		text.WriteString(chatWords[r.IntN(len(chatWords))])
	}
	m.Text = text.String()
	return m
}

// batch seals a batch of n comments of one tick in r, not yet encoded.
func (c *chatter) batch(r *Room, n int) *Batch {
	wall := int64(1790000000000) + int64(c.said)
	for i := range n {
		if _, _, err := r.Publish(c.say(), 0, wall+int64(100*i/n)); err != nil {
			panic(err)
		}
	}
	b := r.Seal(0, wall+100)
	r.Posted()
	return b
}
