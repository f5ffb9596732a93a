package notify

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const robot = `
channels:
  - {name: group, type: wecom, url: "plain:https://robot/send?key=k"}
default: [group]
`

// ok is what WeCom answers.
func ok(*sent) (*http.Response, error) { return respond(200, `{"errcode":0,"errmsg":"ok"}`) }

// TestRateLimitOutlivesAConsumer: whoever comes to have the lease counts what others sent; a
// robot that is told more shuts everybody out for minutes.
func TestRateLimitOutlivesAConsumer(t *testing.T) {
	run(t, robot, func(b *bench) {
		b.places.set("robot", func(r *sent) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond) // as in life: no two messages are marked in one millisecond
			return ok(r)
		})
		_, stop := b.work(b.outbox, "a", nil)
		b.tellMany(1, 15)
		b.pass(10 * time.Second)
		stop()
		b.work(b.outbox, "b", nil)
		b.tellMany(101, 15)
		b.pass(40 * time.Second)
		all := b.places.to("robot")
		if len(all) != 20 || !strings.Contains(all[19].body, "11 more apps") {
			b.Fatalf("%d messages within the minute, the last %s", len(all), all[len(all)-1].body)
		}
		b.tell("200 step critical")
		b.pass(window)
		if got := len(b.places.to("robot")); got != 21 {
			b.Errorf("%d messages, want the next one too", got)
		}
	})
}

// TestRateLimitAndDigest: never more than 20 in a minute, and the last tells of all others.
func TestRateLimitAndDigest(t *testing.T) {
	run(t, robot, func(b *bench) {
		b.places.set("robot", ok)
		b.work(b.outbox, "a", nil)
		b.tellMany(1, 50)
		b.pass(time.Second)
		all := b.places.to("robot")
		if len(all) != 20 || !strings.Contains(all[18].body, "App-19 (19)") || !strings.Contains(all[19].body, "31 more apps") || !strings.Contains(all[19].body, "App-50 (50)") {
			b.Fatalf("%d messages, the last %s", len(all), all[len(all)-1].body)
		}
		b.pass(30 * time.Second)
		b.write(robot) // a file that is saved again is no reason to send more
		b.pass(time.Second)
		b.tellMany(100, 5)
		b.pass(20 * time.Second)
		if got := len(b.places.to("robot")); got != 20 {
			b.Fatalf("%d messages within the minute", got)
		}
		b.pass(window)
		if got := len(b.places.to("robot")); got != 25 {
			b.Errorf("%d messages, want the five as well", got)
		}
		if strings.Contains(b.states(), "pending") {
			b.Errorf("states: %s", b.states())
		}
	})
}

// TestAnyMinuteHasAtMostTwenty, whenever they come.
func TestAnyMinuteHasAtMostTwenty(t *testing.T) {
	run(t, robot, func(b *bench) {
		b.places.set("robot", ok)
		b.work(b.outbox, "a", nil)
		for i := range 120 {
			b.tellMany(1000*(i+1), 1+i%7)
			b.pass(2500 * time.Millisecond)
		}
		b.pass(2 * time.Minute)
		all := b.places.to("robot")
		for i := 20; i < len(all); i++ {
			if between := all[i].at.Sub(all[i-20].at); between < time.Minute {
				b.Fatalf("21 messages within %s", between)
			}
		}
		if strings.Contains(b.states(), "pending") || len(all) < 60 {
			b.Errorf("%d messages; states: %s", len(all), b.states())
		}
	})
}

func TestGapBetweenMessages(t *testing.T) {
	run(t, "channels: [{name: s, type: slack, url: 'plain:https://slack/x'}]\ndefault: [s]\n", func(b *bench) {
		b.work(b.outbox, "a", nil)
		b.tellMany(1, 5)
		b.pass(10 * time.Second)
		all := b.places.to("slack")
		for i := 1; i < len(all); i++ {
			if between := all[i].at.Sub(all[i-1].at); between < time.Second {
				b.Errorf("%s between two messages", between)
			}
		}
		if len(all) != 5 {
			b.Errorf("%d messages", len(all))
		}
	})
}
