package schema_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// Times and dates are written as time.Format writes them, of every year and in every zone.
func TestTimesAreWrittenAsTimeFormatDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
		at := time.Unix(rapid.Int64Range(-70_000_000_000, 260_000_000_000).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).In(zone)
		if got, want := schema.FormatTime(at), at.UTC().Format(schema.TimeLayout); got != want {
			t.Fatalf("time %s, want %s", got, want)
		}
		if got, want := schema.FormatDate(at), at.Format(schema.DateLayout); got != want {
			t.Fatalf("date %s, want %s", got, want)
		}
	})
}

func BenchmarkAppendTime(b *testing.B) {
	at := time.Date(2026, 11, 23, 4, 5, 6, 789e6, time.UTC)
	var room [64]byte
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			_ = schema.AppendTime(room[:0], at)
		}
	})
	b.Run("time", func(b *testing.B) {
		for b.Loop() {
			_ = at.AppendFormat(room[:0], schema.TimeLayout)
		}
	})
}
