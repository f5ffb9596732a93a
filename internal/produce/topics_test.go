package produce

import "testing"

func TestTopicsDetail(t *testing.T) {
	p := &Producer{poll: make(chan struct{}, 1), topics: map[string]*topic{
		"good":    {state: TopicState{Partitions: 3}},
		"refused": {state: TopicState{Partitions: 3, Refused: true, Code: 29}},
	}}
	for _, row := range []struct {
		names []string
		ok    bool
		want  string
	}{
		{nil, true, ""},
		{[]string{"good"}, true, "good has 3 partitions"},
		{[]string{"new", "good"}, false, "new not seen yet; good has 3 partitions"},
		{[]string{"good", "refused"}, false, "good has 3 partitions; refused refused (Kafka error 29), they wait"},
	} {
		if ok, detail := p.TopicsDetail(row.names, "they wait"); ok != row.ok || detail != row.want {
			t.Errorf("%v: %v, %s\nwant %v, %s", row.names, ok, detail, row.ok, row.want)
		}
	}
}
