package apps

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// listing writes an apps file with these ids, each with a token unless it is negative, and more
// behind it.
func listing(more string, ids ...int64) string {
	var b strings.Builder
	b.WriteString("apps:\n")
	for _, id := range ids {
		tokens := `, tokens: ["plain:x"]`
		if id < 0 {
			id, tokens = -id, ""
		}
		fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: App %d%s}\n", id, id, tokens)
	}
	if len(ids) == 0 {
		return "apps: []\n" + more
	}
	return b.String() + more
}

// to returns the ids from 1 to n but for those left out.
func to(n int64, without ...int64) (ids []int64) {
	for id := int64(1); id <= n; id++ {
		if !slices.Contains(without, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestGuard(t *testing.T) {
	for name, row := range map[string]struct {
		prev, next string
		sent       []int64 // apps that sent recently; nil: nobody knows, as in the consumer
		want       string
	}{
		"the same":                       {listing("", to(10)...), listing("", to(10)...), to(10), ""},
		"apps are added":                 {listing("", 1), listing("", to(10)...), to(10), ""},
		"from nothing":                   {listing(""), listing("", 1), []int64{}, ""},
		"a tenth that is silent":         {listing("", to(10)...), listing("", to(10, 7)...), []int64{1}, ""},
		"a tenth, where nobody knows":    {listing("", to(10)...), listing("", to(10, 7)...), nil, ""},
		"more than a tenth":              {listing("", to(19)...), listing("", to(19, 7, 8)...), []int64{}, "2 of 19 apps are gone, more than a tenth, and these are not under removed: 7 (App 7), 8 (App 8); if that is meant, add removed: [7, 8]"},
		"more than a tenth, all named":   {listing("", to(19)...), listing("removed: [7, 8]\n", to(19, 7, 8)...), to(19), ""},
		"more than a tenth, some named":  {listing("", to(19)...), listing("removed: [8]\n", to(19, 7, 8)...), []int64{}, "2 of 19 apps are gone, more than a tenth, and these are not under removed: 7 (App 7); if that is meant, add removed: [7]"},
		"one that sent":                  {listing("", to(10)...), listing("", to(10, 7)...), to(10), "these apps sent within the last hour, are gone, and are not under removed: 7 (App 7); if that is meant, add removed: [7]"},
		"one that sent, named":           {listing("", to(10)...), listing("removed: [7]\n", to(10, 7)...), to(10), ""},
		"named, and others never were":   {listing("", to(10)...), listing("removed: [99, 7, 98]\n", to(10, 7)...), to(10), ""},
		"one for another":                {listing("", to(10)...), listing("", to(11, 7)...), to(10), "these apps sent within the last hour, are gone, and are not under removed: 7 (App 7); if that is meant, add removed: [7]"},
		"all":                            {listing("", 1, 2), listing(""), []int64{}, "2 of 2 apps are gone, more than a tenth, and these are not under removed: 1 (App 1), 2 (App 2); if that is meant, add removed: [1, 2]"},
		"all, where nobody knows":        {listing("", 1, 2), listing(""), nil, "2 of 2 apps are gone, more than a tenth, and these are not under removed: 1 (App 1), 2 (App 2); if that is meant, add removed: [1, 2]"},
		"many are named up to a bound":   {listing("", to(22)...), listing(""), []int64{}, "22 of 22 apps are gone, more than a tenth, and these are not under removed: 1 (App 1), 2 (App 2), 3 (App 3), 4 (App 4), 5 (App 5), 6 (App 6), 7 (App 7), 8 (App 8), 9 (App 9), 10 (App 10), 11 (App 11), 12 (App 12), 13 (App 13), 14 (App 14), 15 (App 15), 16 (App 16), 17 (App 17), 18 (App 18), 19 (App 19), 20 (App 20) and 2 more; if that is meant, add removed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, ...]"},
		"its tokens are gone":            {listing("", 1, 2), listing("", -1, 2), []int64{}, "these apps have no token any more, so that anyone could send in their name, and are not under unsigned: 1 (App 1); if that is meant, add unsigned: [1]"},
		"its tokens are gone, named":     {listing("", 1, 2), listing("unsigned: [1, 9]\n", -1, 2), []int64{}, ""},
		"its tokens are gone, consumer":  {listing("", 1, 2), listing("", -1, 2), nil, ""},
		"unsigned before":                {listing("", -1, 2), listing("", -1, 2), []int64{}, ""},
		"a new one is unsigned":          {listing("", 1), listing("", 1, -2), []int64{}, ""},
		"removed, and another is opened": {listing("", 1, 2), listing("removed: [1]\n", -2), []int64{1}, "these apps have no token any more, so that anyone could send in their name, and are not under unsigned: 2 (App 2); if that is meant, add unsigned: [2]"},
		"both":                           {listing("", 1, 2), listing("", -2), []int64{1}, "1 of 2 apps are gone, more than a tenth, and these are not under removed: 1 (App 1); if that is meant, add removed: [1]\nthese apps have no token any more, so that anyone could send in their name, and are not under unsigned: 2 (App 2); if that is meant, add unsigned: [2]"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent func(int64) bool
			if row.sent != nil {
				sent = func(id int64) bool { return slices.Contains(row.sent, id) }
			}
			guard := Guard(sent)
			got := guard(mustParse(t, row.prev, resolving()), mustParse(t, row.next, resolving()))
			if got.Error() != row.want {
				t.Errorf("got\n%s\nwant\n%s", got.Error(), row.want)
			}
			if len(got.Warnings()) > 0 {
				t.Error("a warning would not keep the file in use")
			}
		})
	}
}

// TestGuardLaw: whatever goes, the file that names all that goes is taken, and one that names all but
// one that sent is not.
func TestGuardLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := to(rapid.Int64Range(1, 40).Draw(t, "apps"))
		gone := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID[int64]).Draw(t, "gone")
		sent := rapid.SampledFrom(gone).Draw(t, "sent")
		parse := func(text string) *Snapshot {
			s, problems := Parser(Options{ResolveTokens: true})([]byte(text))
			if problems != nil {
				t.Fatal(problems)
			}
			return s
		}
		left := slices.DeleteFunc(slices.Clone(all), func(id int64) bool { return slices.Contains(gone, id) })
		guard := Guard(func(id int64) bool { return id == sent })
		named := func(ids []int64) string {
			return "removed: [" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]") + "]\n"
		}
		if problems := guard(parse(listing("", all...)), parse(listing(named(gone), left...))); problems != nil {
			t.Errorf("all named, refused: %v", problems)
		}
		some := slices.DeleteFunc(slices.Clone(gone), func(id int64) bool { return id == sent })
		if problems := guard(parse(listing("", all...)), parse(listing(named(some), left...))); len(problems) != 1 || !strings.Contains(problems.Error(), fmt.Sprintf("removed: [%d]", sent)) {
			t.Errorf("%d sent and is not named: %v", sent, problems)
		}
	})
}
