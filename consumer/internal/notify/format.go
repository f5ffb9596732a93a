package notify

// file is notify.yaml as it is written. Pointers tell what is absent from what is empty.
type file struct {
	Console  *string        `yaml:"console"`
	Channels *[]fileChannel `yaml:"channels"`
	Rules    []fileRule     `yaml:"rules"`
	Default  *[]string      `yaml:"default"`
}

type fileChannel struct {
	Name          *string `yaml:"name"`
	Type          *string `yaml:"type"`
	URL           *string `yaml:"url"`
	Language      *string `yaml:"language"`
	PerMinute     *int    `yaml:"per_minute"`
	SendResolved  *bool   `yaml:"send_resolved"`
	Secret        *string `yaml:"secret"`
	Authorization *string `yaml:"authorization"`
	Template      *string `yaml:"template"`
	ContentType   *string `yaml:"content_type"`
}

// has says whether a key that not every type has is there.
func (c *fileChannel) has(key string) bool {
	switch key {
	case "per_minute":
		return c.PerMinute != nil
	case "send_resolved":
		return c.SendResolved != nil
	case "secret":
		return c.Secret != nil
	case "authorization":
		return c.Authorization != nil
	case "template":
		return c.Template != nil
	case "content_type":
		return c.ContentType != nil
	}
	panic("BUG: " + key + " is no key of some types only")
}

type fileRule struct {
	Owner    []string  `yaml:"owner"`
	Tier     []string  `yaml:"tier"`
	Severity []string  `yaml:"severity"`
	Channels *[]string `yaml:"channels"`
}
