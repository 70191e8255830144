package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxCommentRunes is the longest comment of a corpus, in code points.
const maxCommentRunes = 100

// Corpus draws comments that look like those of a live video room. The same
// seed gives the same comments. One goroutine at a time.
//
//	kind (80 % CJK, 8 % digits, 7 % Latin, 5 % emoji)
//	  └► length, log-normal: median 6, mean 9, p95 24, p99 40 code points
//	       └► phrase of about that length, Zipf by popularity
//	            └► mutation up to the length: longer runs, repeats, marks, emoji
//
// Texts are valid UTF-8 of 1 to 100 code points, trimmed, without control
// characters, quotation marks and backslashes: JSON takes them as they are.
type Corpus struct {
	random *rand.Rand
	kinds  []phraseKind
}

// phraseKind is one kind of comment, its phrases sorted by length.
type phraseKind struct {
	upTo    float64   // share of all comments, added up
	phrases []phrase  // ascending by runes
	weights []float64 // prefix sums of Zipf weights, one longer than phrases
}

type phrase struct {
	text  string
	runes int
	run   bool // one character over and over: can have any length
}

// The log-normal of lengths: exp(mu) is the median, and sigma puts the mean at
// 9, p95 at 24 and p99 at 40 code points after rounding and mutation.
const (
	lengthMu    = 1.74
	lengthSigma = 0.86
)

// NewCorpus makes a corpus of its own from a seed.
func NewCorpus(seed uint64) *Corpus {
	c := &Corpus{random: rand.New(rand.NewPCG(seed, 0x64616e6d616b75))}
	var sum float64
	for _, k := range []struct {
		share float64
		list  string
	}{{0.80, phrasesCJK}, {0.08, phrasesDigits}, {0.07, phrasesLatin}, {0.05, phrasesEmoji}} {
		sum += k.share
		c.kinds = append(c.kinds, newPhraseKind(sum, strings.Split(strings.TrimSpace(k.list), "\n")))
	}
	return c
}

// newPhraseKind takes phrases in order of popularity.
func newPhraseKind(upTo float64, list []string) phraseKind {
	type ranked struct {
		phrase
		weight float64
	}
	all := make([]ranked, len(list))
	for i, text := range list {
		n := utf8.RuneCountInString(text)
		first, size := utf8.DecodeRuneInString(text)
		run := n > 1 && text == strings.Repeat(text[:size], n) && first != utf8.RuneError
		all[i] = ranked{phrase{text, n, run}, 1 / (float64(i) + 8)} // Zipf–Mandelbrot
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return a.runes - b.runes })
	k := phraseKind{upTo: upTo, weights: make([]float64, 1, len(all)+1)}
	for i, r := range all {
		k.phrases = append(k.phrases, r.phrase)
		k.weights = append(k.weights, k.weights[i]+r.weight)
	}
	return k
}

// Next draws a comment.
func (c *Corpus) Next() string {
	k := c.kind()
	want := int(math.Round(math.Exp(lengthMu + lengthSigma*c.random.NormFloat64())))
	want = min(max(want, 1), maxCommentRunes)
	first := want
	if want >= 6 && c.random.IntN(2) == 0 {
		first = 2 + c.random.IntN(want-3) // said in two or more pieces
	}
	p := c.draw(k, first)
	if p.run {
		return cutRunes(stretch(p, want), maxCommentRunes)
	}
	var b strings.Builder
	b.WriteString(p.text)
	n := p.runes
	for n*4 < want*3 { // well short of it: people repeat and go on
		more := p
		if c.random.IntN(4) > 0 {
			more = c.draw(k, want-n)
		}
		gap := gaps[c.random.IntN(len(gaps))]
		b.WriteString(gap + more.text)
		n += utf8.RuneCountInString(gap) + more.runes
	}
	if c.random.IntN(5) < 2 {
		b.WriteString(tails[c.random.IntN(len(tails))])
	}
	return cutRunes(b.String(), maxCommentRunes)
}

func (c *Corpus) kind() *phraseKind {
	u := c.random.Float64()
	for i := range c.kinds {
		if u < c.kinds[i].upTo {
			return &c.kinds[i]
		}
	}
	return &c.kinds[0]
}

// draw picks a phrase of about the wanted length, the popular ones more often.
// Where there is none so long, the longest ones are near enough.
func (c *Corpus) draw(k *phraseKind, want int) phrase {
	from := k.index(want - want/5)
	to := k.index(want + want/8 + 1)
	if from == to {
		from, to = max(0, to-8), min(len(k.phrases), to+1)
	}
	u := k.weights[from] + c.random.Float64()*(k.weights[to]-k.weights[from])
	i, _ := slices.BinarySearch(k.weights[from+1:to], u)
	return k.phrases[from+i]
}

// index is that of the first phrase with at least n runes.
func (k *phraseKind) index(n int) int {
	i, _ := slices.BinarySearchFunc(k.phrases, n, func(p phrase, n int) int { return p.runes - n })
	return i
}

// stretch makes a run of the wanted length, at least two long.
func stretch(p phrase, want int) string {
	_, size := utf8.DecodeRuneInString(p.text)
	return strings.Repeat(p.text[:size], max(2, want))
}

// cutRunes keeps at most n code points and leaves no space at the end.
func cutRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			s = s[:i]
			break
		}
		n--
	}
	return strings.TrimSpace(s)
}

// What stands between two phrases of one comment, and behind a comment.
var (
	gaps  = []string{"", "，", " ", "！", "～", "…"}
	tails = []string{"！", "！！", "？", "～", "~", "。", "…", "hhh", "哈哈", "啊", "吧", "了", "😂", "🔥", "❤", "👍", "www", "23333"}
)

// The phrases, most popular first within a kind, one a line. All written for this corpus.
const phrasesCJK = `
哈哈哈
来了
草
好听
晚上好
哈哈哈哈哈哈
？？？
可爱
前方高能
卧槽
太强了
啊啊啊
awsl我死了
主播好
笑死我了
下次一定
泪目
好耶
加油
真的假的
名场面
打卡
起飞
第一次来
冲冲冲
这也行
绝了
离谱
牛啊牛啊
爷青回
完结撒花
有内味了
别刀了别刀了
这就是大佬吗
学到了
主播晚上好
合影
人呢
开始了吗
救命
妙啊
稳
稳了稳了
这波我看不懂
高能预警
给跪了
太真实了
催更催更
为什么
什么情况
有没有人
画质真好
声音有点小
声音大一点
卡了
我这边好卡
是我网卡吗
不卡
求歌名
这首歌叫什么
单曲循环中
耳朵怀孕了
神仙唱功
再唱一首吧
安可安可安可
鸡皮疙瘩起来了
这个转音绝了
前排
前排围观
火钳刘明
吃瓜
搬好小板凳
我来啦我来啦
刚下班赶上了
下课就来了
作业还没写完
明天还要上班
困了先睡了
晚安大家
晚安好梦
早上好
中午好呀
大家吃了吗
饿了
看饿了
半夜看这个真的好饿
深夜放毒
这个看起来好好吃
求链接
多少钱
买不起买不起
贫穷使我冷静
我的钱包在哭泣
已经下单了
关注了
点了关注
已三连
一键三连走起
感谢老板
老板大气
老板糊涂啊
谢谢老板的礼物
大佬大佬
膜拜大佬
带带我
求带
菜就多练
手残党路过
这操作我跪了
细节拉满
反应也太快了吧
这都能反杀
残血反杀太帅了
对面在干嘛
队友在梦游吗
这队友带不动
别送了别送了
能赢能赢
这把稳了
这把要寄
寄
寄了
开香槟了
半场开香槟
还没结束呢
不到最后一刻别放弃
破防了
我破防了
破大防
绷不住了
蚌埠住了
笑出声了
笑得肚子疼
嘴角疯狂上扬
姨母笑
甜死我了
磕到了
磕到了磕到了
这对我先磕为敬
民政局搬过来了
在一起在一起
单身狗受到伤害
柠檬树下你和我
酸了酸了
羡慕
好羡慕啊
别人家的主播
这是什么神仙主播
宝藏主播被我发现了
主播声音好温柔
姐姐好美
哥哥好帅
老婆
猫猫
猫猫好可爱
让猫猫上镜
狗狗乖
想撸猫
云吸猫成功
小动物都是天使
毛茸茸的好想摸
手办是哪家的
键盘什么轴
这个麦克风什么型号
主播用的什么显卡
配置单发一下
什么游戏
这游戏叫什么名字
新人报到
萌新瑟瑟发抖
萌新求问这个怎么打
有攻略吗
第几关了
打到哪里了
刚来，错过了什么
有人能总结一下前面吗
前情提要
录播什么时候发
会有回放吗
几点下播
再播一会儿吧
不许下播
才刚来就下播了
下播快乐
明天还播吗
明天几点开播
周末播不播
辛苦了
主播辛苦了早点休息
注意休息保护嗓子
多喝热水
喝口水吧
身体最重要
祝主播生日快乐
生日快乐
生日快乐要开心哦
新年快乐
恭喜恭喜
恭喜主播突破一万粉
十万粉了
排面
这排面
仪式感
全体起立
起立鼓掌
掌声在哪里
把泪目打在公屏上
把加油打在公屏上
扣1
懂的扣1
听懂的扣1没听懂的扣2
有没有同城的
广东的举个手
四川的朋友在哪里
北京下雪了
上海今天好热
我这里在下雨
海外党熬夜看直播
时差党落泪
打工人打工魂
打工人看完继续上班
摸鱼中
上班摸鱼看直播被老板发现了
老师来了快关掉
已社死
社死现场
尴尬得脚趾抠地
脚趾抠出三室一厅
我直呼好家伙
好家伙
好活
好活当赏
整活大师
节目效果拉满
节目效果
剧本吧
这真不是剧本
演技炸裂
影帝级别
眼睛：我会了，手：你会个锤子
脑子：听懂了，笔：不，你没有
一看就会，一做就废
知识以一种奇怪的方式进入了我的脑子
知识它不进脑子啊
听君一席话，如听一席话
这题我会
这题超纲了
课代表在哪里
求课代表总结
笔记记好了
收藏等于学会
收藏了就是看过了
考试必过
许愿上岸
今年一定上岸
接好运
接接接
蹭蹭欧气
欧皇
非酋落泪
十连沉船了
单抽出奇迹
保底都歪了
又歪了我不玩了
我抽到了
出货了出货了
护体
弹幕护体
护眼弹幕
感谢弹幕护体我一点都不怕
前方高能非战斗人员迅速撤离
不敢看不敢看
捂眼睛看完了
吓死我了
心脏受不了
谁懂啊
家人们谁懂啊
家人们这是真的会笑死
谁懂这个含金量
含金量还在上升
梦开始的地方
童年回忆
这是我的青春啊
爷的青春回来了
时代的眼泪
妈妈问我为什么跪着看直播
考古
考古队前来报到
多年以后再看还是会哭
几年前的自己也在这里发过弹幕
有生之年
有生之年系列
活久见
不愧是你
懂得都懂
经典
经典永流传
这个梗要笑一辈子
梗小鬼退散
梗百科在哪里
复读机
人类的本质是复读机
复读开始
打断复读
弹幕好多啊看不见画面了
弹幕关小一点
有弹幕才有灵魂
大型社死现场合集建议循环播放
今天也是为了看主播努力活着的一天
路过的朋友点个关注不迷路主播带你上高速
每天就靠这个直播间续命了没有你们我可怎么办啊
我宣布这是今年看过最好看的一场直播没有之一不接受反驳
家人们帮我看看这个该怎么选我已经纠结了整整一个晚上了
第一次发弹幕有点紧张希望主播可以看到祝大家每天都开开心心
从三年前那个只有十几个人的小直播间一路看到现在真的好感慨啊希望以后也能一直陪着你
`

const phrasesDigits = `
666
233
1
2333
111
66666
23333333
6
999
888
1111111111
777
520
886
555
5555555
0.0
1314
10086
3.1415926
2333333333333333
6666666666666666666
`

const phrasesLatin = `
hhh
www
lol
awsl
LMAO
GG
wow
kksk
yyds
nice
xswl
hello
ohhhh
omg
gg wp
haha
first
so good
let's go
clip it
hi chat
no way
pog
zqsg
u1s1
love this
what a play
hello from Brazil
is this live?
song name please
what game is this?
good night everyone
can you turn the mic up a bit
first time here, love the stream
that was the cleanest clutch I have seen all year
greetings from Germany, it is 4 am here and worth it
`

const phrasesEmoji = `
😂
😂😂😂
❤
👍
🔥🔥🔥
😭
😭😭😭
🎉🎉🎉
👏👏👏
🥺
❤❤❤
🐶
🤣🤣🤣
🍉
🙏🙏🙏
✨✨
🎂🎂🎂
🌹🌹🌹
💪💪
🤔
😎👍
😂👍
🎉🎂🎉
`
