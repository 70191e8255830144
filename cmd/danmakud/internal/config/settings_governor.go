package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/danmakud/danmakud/room"
	"github.com/spf13/pflag"
)

// Governor is how much of what is said one batch may carry.
type Governor struct {
	// BudgetBytes bounds the plain frame of a batch, BudgetComments its comments (0 =
	// as many as there are). Beyond it chat is merged and sampled.
	BudgetBytes, BudgetComments int
	// RoleWeights has ROLE=WEIGHT for roles whose chat has another chance to be
	// sampled than 1; [Config.Weights] reads it.
	RoleWeights []string
}

// What a batch may be bounded to.
const (
	budgetMin     = 1 << 10
	budgetMax     = 1 << 30
	roleWeightMax = 1000
)

var tableGovernor = []definition{
	{
		flag: "budget-bytes", def: "262144",
		help:   "size of one batch, uncompressed, beyond which equal chat is merged and other chat is sampled",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.BudgetBytes} },
		check:  checkBudgetBytes,
		reload: true,
	},
	{
		flag: "budget-comments", def: "0",
		help:   "comments of one batch beyond which the same is done; 0 = no bound",
		value:  func(c *Config) pflag.Value { return countValue{&c.BudgetComments} },
		check:  within("budget-comments", func(c *Config) int { return c.BudgetComments }, 0, 1_000_000),
		reload: true,
	},
	{
		flag: "role-weights", def: "",
		help:   "`ROLE=WEIGHT` for roles whose chat is sampled with another weight than 1, such as vip=3 (repeatable)",
		value:  func(c *Config) pflag.Value { return newList(&c.RoleWeights) },
		check:  func(c *Config) error { _, err := c.Weights(); return err },
		reload: true,
	},
}

// checkBudgetBytes leaves room for two of the longest comments: a code point has up
// to 4 bytes, the fields around the text get messageMin.
func checkBudgetBytes(c *Config) error {
	if least := max(budgetMin, 2*(4*c.MaxText+messageMin)); c.BudgetBytes < least || c.BudgetBytes > budgetMax {
		return fmt.Errorf("--budget-bytes %d: want %d to %d with --max-text %d", c.BudgetBytes, least, budgetMax, c.MaxText)
	}
	return nil
}

// Weights returns the weight of each role in the sampling of chat.
func (c *Config) Weights() (weights [room.Roles]float64, err error) {
	for i := range weights {
		weights[i] = 1
	}
	for _, text := range c.RoleWeights {
		name, number, _ := strings.Cut(text, "=")
		role, ok := room.ParseRole(strings.TrimSpace(name))
		weight, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		switch {
		case !ok || role >= room.RoleModerator:
			return weights, fmt.Errorf("--role-weights %q: want guest, viewer or vip; what others say is never sampled", text)
		case err != nil || !(weight > 0 && weight <= roleWeightMax):
			return weights, fmt.Errorf("--role-weights %q: want ROLE=WEIGHT with a weight above 0, at most %d", text, roleWeightMax)
		}
		weights[role] = weight
	}
	return weights, nil
}
