package quota

import (
	"strings"
	"testing"
)

// TestStories tells days of an app. Each line is a batch of alarms, "TIME USED[/CAP]", the
// cap being 10,000 where it is not said, and after the arrow what people are told. "@" is
// when the consumer handled it, where that was not at once.
func TestStories(t *testing.T) {
	for _, story := range []struct{ name, zone, lines string }{
		{"the vendor calls once a day", "Asia/Shanghai", `
			11-23 10:00 7001 => step watch 2026-11-23
			11-24 15:00 7002 => resolve watch 2026-11-23; step watch 2026-11-24
			11-25 09:00 7003 => resolve watch 2026-11-24; step watch 2026-11-25`},

		{"a busy day: the vendor calls at every creation, a person hears of each step once", "Asia/Shanghai", `
			11-23 08:00 7001 => step watch 2026-11-23
			11-23 08:10 7050 =>
			11-23 11:00 7999 =>
			11-23 11:50 8000 => step warning 2026-11-23
			11-23 12:50 8999 =>
			11-23 14:00 9000 => step critical 2026-11-23
			11-23 18:00 9999 =>
			11-23 20:00 10000 => step exhausted 2026-11-23
			11-23 20:01 10250 =>`},

		{"three steps in one batch: only the highest", "Asia/Shanghai", `
			11-23 10:00:00 7100; 11-23 10:00:01 8100; 11-23 10:00:02 9100 => step critical 2026-11-23
			11-23 10:00:03 8200 =>
			11-23 10:00:04 9200 =>`},

		{"the app's own steps: its first is 75", "Asia/Shanghai", `
			steps 75 85.5 95 110
			11-23 10:00 7499 =>
			11-23 10:01 7500 => step watch 2026-11-23
			11-23 10:02 8549 =>
			11-23 10:40 8550 => step warning 2026-11-23
			11-23 12:00 10999 => step critical 2026-11-23
			11-23 14:00 11000 => step exhausted 2026-11-23`},

		{"midnight in the app's zone, not in ours", "America/Los_Angeles", `
			2026-11-24T07:59:59Z 8100 => step warning 2026-11-23
			2026-11-24T08:00:00Z 8101 => resolve warning 2026-11-23; step warning 2026-11-24`},

		{"the vendor's day begins at 08:00 in Shanghai: told twice rather than never", "Asia/Shanghai", `
			11-23 22:00 9500 => step critical 2026-11-23
			11-24 00:05 9600 => resolve critical 2026-11-23; step critical 2026-11-24
			11-24 07:00 9700 =>
			11-24 11:00 7001 => resolve critical 2026-11-24; step watch 2026-11-24#2
			11-24 15:00 8001 => step warning 2026-11-24#2
			11-25 00:05 9000 => resolve warning 2026-11-24#2; step critical 2026-11-25`},

		{"a fall of ten points is a new day, one of less is not", "Asia/Shanghai", `
			11-23 10:00 9500 => step critical 2026-11-23
			11-23 10:05 8501 =>
			11-23 11:00 9500 =>
			11-23 11:05 8500 => resolve critical 2026-11-23; step warning 2026-11-23#2`},

		{"many small falls are groups being dissolved", "Asia/Shanghai", `
			11-23 10:00 9900 => step critical 2026-11-23
			11-23 10:30 9000 =>
			11-23 11:00 8100 =>
			11-23 11:30 7200 =>
			11-23 12:00 9900 =>`},

		{"ten points of a cap that ten does not divide", "Asia/Shanghai", `
			11-23 10:00 15/15 => step exhausted 2026-11-23
			11-23 10:05 14/15 =>
			11-23 10:10 12/15 => resolve exhausted 2026-11-23; step warning 2026-11-23#2`},

		{"the cap is raised: the steps lie elsewhere and are told anew", "Asia/Shanghai", `
			11-23 10:00 9500 => step critical 2026-11-23
			11-23 14:00 35001/50000 => resolve critical 2026-11-23; step watch 2026-11-23#2
			11-23 16:00 45000/50000 => step critical 2026-11-23#2`},

		{"the cap is lowered: the same day, a higher step", "Asia/Shanghai", `
			11-23 10:00 7500 => step watch 2026-11-23
			11-23 10:30 7600/8000 => step critical 2026-11-23
			11-24 10:30 7500/8000 => resolve critical 2026-11-23; step critical 2026-11-24`},

		{"dissolve waves: eight notices in a day, and the one that matters among them", "Asia/Shanghai", `
			11-23 08:00 9000 => step critical 2026-11-23
			11-23 08:30 8000 => resolve critical 2026-11-23; step warning 2026-11-23#2
			11-23 09:00 9000 => step critical 2026-11-23#2
			11-23 09:30 8000 => resolve critical 2026-11-23#2; step warning 2026-11-23#3
			11-23 10:00 9000 => step critical 2026-11-23#3
			11-23 10:30 8000 => resolve critical 2026-11-23#3; step warning 2026-11-23#4
			11-23 11:00 9000 => step critical 2026-11-23#4
			11-23 11:30 8000 => resolve critical 2026-11-23#4
			11-23 12:00 9000 =>
			11-23 12:30 10000 => step exhausted 2026-11-23#5
			11-23 13:00 9000 => resolve exhausted 2026-11-23#5
			11-23 13:30 10000 =>
			11-24 08:00 10000 => step exhausted 2026-11-24`},

		{"a step that found no room is told when there is some", "Asia/Shanghai", `
			11-23 08:00 9000 => step critical 2026-11-23
			11-23 08:30 8000 => resolve critical 2026-11-23; step warning 2026-11-23#2
			11-23 09:00 9000 => step critical 2026-11-23#2
			11-23 09:30 8000 => resolve critical 2026-11-23#2; step warning 2026-11-23#3
			11-23 10:00 9000 => step critical 2026-11-23#3
			11-23 10:30 8000 => resolve critical 2026-11-23#3; step warning 2026-11-23#4
			11-23 11:00 9000 => step critical 2026-11-23#4
			11-24 07:59 9000 => resolve critical 2026-11-23#4
			11-24 08:00:30 9001 => step critical 2026-11-24`},

		{"an alarm dated 2099 silences nobody", "Asia/Shanghai", `
			2099-01-01 00:00 7100 received 11-23 10:00 => step watch 2026-11-23
			11-23 10:05 8100 => step warning 2026-11-23
			11-24 10:00 8200 => resolve warning 2026-11-23; step warning 2026-11-24`},

		{"the vendor's clock is four minutes ahead, then six", "Asia/Shanghai", `
			11-23 23:58 7100 received 11-23 23:54 => step watch 2026-11-23
			11-24 00:04 8100 received 11-23 23:58:30 => step warning 2026-11-23
			11-24 00:04 8200 received 11-24 00:00 => resolve warning 2026-11-23; step warning 2026-11-24`},

		{"the vendor sends no time", "Asia/Shanghai", `
			none 7100 received 11-23 10:00 => step watch 2026-11-23
			none 7200 received 11-23 10:05 =>
			none 8100 received 11-24 00:00 => resolve watch 2026-11-23; step warning 2026-11-24`},

		{"three hours' backlog: one digest, then what is true now", "Asia/Shanghai", `
			11-23 09:00 7100; 11-23 09:30 8100; 11-23 10:00 8200 @ 11-23 12:00 => digest warning 2026-11-23 of 3
			11-23 10:30 8300; 11-23 11:00 9000; 11-23 11:30 9100 @ 11-23 12:00 => digest critical 2026-11-23 of 2
			11-23 11:40 9200; 11-23 11:50 9300 @ 11-23 12:00 => step critical 2026-11-23
			11-23 12:01 9400 =>`},

		{"a gateway's disk comes back after two hours: received then, delivered now", "Asia/Shanghai", `
			11-23 10:00 7100 => step watch 2026-11-23
			11-23 12:00 8100 => step warning 2026-11-23
			11-23 10:30 7300; 11-23 11:59 8090 @ 11-23 14:00 =>
			11-23 12:30 9000; 11-23 12:31 9050 @ 11-23 14:00 => digest critical 2026-11-23 of 2
			11-23 14:01 9100 => step critical 2026-11-23`},

		{"an alarm that was old when it was received", "Asia/Shanghai", `
			11-23 10:00 7100 received 11-23 10:14:59 => step watch 2026-11-23
			11-23 10:01 8100 received 11-23 10:16:01 => digest warning 2026-11-23
			11-23 10:40 8200 => step warning 2026-11-23`},

		{"yesterday's straggler is told only where it is news, and once", "Asia/Shanghai", `
			11-22 23:00 8100 => step warning 2026-11-22
			11-23 09:00 7100 => resolve warning 2026-11-22; step watch 2026-11-23
			11-22 23:30 8200 received 11-23 09:01 =>
			11-22 23:50 9100 received 11-23 09:02 => digest critical 2026-11-22
			11-22 23:55 9200 received 11-23 09:03 =>
			11-23 09:30 7200 =>`},

		{"out of order by seconds, as two gateways deliver", "Asia/Shanghai", `
			11-23 10:00:05 7990 => step watch 2026-11-23
			11-23 10:00:03 7980 =>
			11-23 10:00:04 8001 => step warning 2026-11-23
			11-23 10:00:06 7995 =>`},

		{"out of order across midnight", "Asia/Shanghai", `
			11-23 10:00 7100 => step watch 2026-11-23
			11-24 00:00:01 8000 => resolve watch 2026-11-23; step warning 2026-11-24
			11-23 23:59:59 8000 => digest warning 2026-11-23`},

		{"the same alarms again and again", "Asia/Shanghai", `
			11-23 10:00 7100; 11-23 10:00 7100; 11-23 10:00 7100 => step watch 2026-11-23
			11-23 10:00 7100 =>
			11-24 10:00 7100 => resolve watch 2026-11-23; step watch 2026-11-24
			11-23 10:00 7100 =>`},

		{"a batch over midnight", "Asia/Shanghai", `
			11-23 10:00 7100 => step watch 2026-11-23
			11-23 23:59:59 9100; 11-24 00:00:01 9101 => resolve watch 2026-11-23; step critical 2026-11-24; digest critical 2026-11-23`},

		{"a new group replays a week: one digest a batch, and only today fires", "Asia/Shanghai", `
			11-20 10:00 7100; 11-20 12:00 9100; 11-21 10:00 8100; 11-22 10:00 7100 @ 11-23 10:10 => digest critical 2026-11-20 of 4
			11-22 11:00 7200; 11-22 12:00 8200; 11-23 09:00 7100 @ 11-23 10:10 => digest warning 2026-11-22 of 2
			11-23 10:00 7300 @ 11-23 10:10 => step watch 2026-11-23
			11-20 12:00 9100 @ 11-23 10:10 =>`},

		{"the vendor's documented sample, of 2022, sent by hand", "Asia/Shanghai", `
			11-23 10:00 8100 => step warning 2026-11-23
			2022-12-09T08:26:54Z 7321 received 11-23 10:01 => digest watch 2022-12-09
			2022-12-09T08:26:54Z 7321 received 11-23 10:02 =>
			11-23 10:05 8200 =>`},

		{"the sample is the first that is heard of an app", "Asia/Shanghai", `
			2022-12-09T08:26:54Z 7321 received 11-23 10:01 => digest watch 2022-12-09
			11-23 10:05 8200 => step warning 2026-11-23`},

		{"lunch peak: the cap within the hour is told once", "Asia/Shanghai", `
			11-23 12:00 7100 => step watch 2026-11-23
			11-23 12:03 7200 =>
			11-23 12:06 7500 => forecast watch 2026-11-23
			11-23 12:09 7800 =>
			11-23 12:12 8100 => step warning 2026-11-23
			11-23 14:00 8200 =>
			11-23 14:03 8700 =>
			11-23 14:06 9200 => step critical 2026-11-23
			11-24 12:00 7100 => resolve critical 2026-11-23; step watch 2026-11-24
			11-24 12:03 7300 =>
			11-24 12:06 7600 => forecast watch 2026-11-24`},

		{"a slow rise, and one that midnight cuts off", "Asia/Shanghai", `
			11-23 12:00 7100 => step watch 2026-11-23
			11-23 12:10 7150 =>
			11-23 12:20 7200 =>
			11-23 23:30 9600 => step critical 2026-11-23
			11-23 23:33 9630 =>
			11-23 23:36 9660 =>`},

		{"a forecast of three hours ago is no forecast", "Asia/Shanghai", `
			11-23 12:00 7100; 11-23 12:03 7300; 11-23 12:06 7600 @ 11-23 15:00 => digest watch 2026-11-23 of 3
			11-23 15:00 7700 => step watch 2026-11-23`},

		{"clocks go back: a night of 25 hours is one day", "America/New_York", `
			2026-11-01T04:00:00Z 7100 => step watch 2026-11-01
			2026-11-01T05:30:00Z 7200 =>
			2026-11-01T06:30:00Z 7300 =>
			2026-11-02T04:59:59Z 7400 =>
			2026-11-02T05:00:00Z 7500 => resolve watch 2026-11-01; step watch 2026-11-02`},

		{"clocks jump over midnight: the day begins at one", "Africa/Cairo", `
			2026-04-23T21:59:59Z 7100 => step watch 2026-04-23
			2026-04-23T22:00:00Z 7200 => resolve watch 2026-04-23; step watch 2026-04-24`},

		{"midnight comes twice: one new day", "America/Havana", `
			2026-11-01T03:59:59Z 7100 => step watch 2026-10-31
			2026-11-01T04:00:00Z 7200 => resolve watch 2026-10-31; step watch 2026-11-01
			2026-11-01T04:59:59Z 7300 =>
			2026-11-01T05:00:00Z 7400 =>`},

		{"the app's zone is changed at noon, to one that is a day behind", "Asia/Shanghai", `
			11-23 12:00 7100 => step watch 2026-11-23
			zone America/Los_Angeles =>
			2026-11-23T04:30:00Z 7200 =>
			2026-11-23T07:59:00Z 7300 =>
			2026-11-23T08:00:00Z 7400 => resolve watch 2026-11-23; step watch 2026-11-23#2
			2026-11-24T08:00:00Z 7500 => resolve watch 2026-11-23#2; step watch 2026-11-24`},

		{"the app's zone is changed to one that is ahead", "America/Los_Angeles", `
			2026-11-23T15:00:00Z 7100 => step watch 2026-11-23
			zone Asia/Shanghai =>
			2026-11-23T15:59:00Z 7200 =>
			2026-11-23T16:00:00Z 7300 => resolve watch 2026-11-23; step watch 2026-11-24`},
	} {
		t.Run(story.name, func(t *testing.T) {
			w := newWorld(t, story.zone)
			for line := range strings.Lines(strings.TrimSpace(story.lines)) {
				heard, want, _ := strings.Cut(strings.TrimSpace(line), "=>")
				if got := w.line(strings.TrimSpace(heard)); got != strings.TrimSpace(want) {
					t.Errorf("%s\ntold %q\nwant %q", strings.TrimSpace(heard), got, strings.TrimSpace(want))
				}
			}
		})
	}
}
