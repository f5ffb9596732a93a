package apps

// file is apps.yaml as it is written. Pointers tell what is absent from what is zero.
type file struct {
	Defaults *fileSettings `yaml:"defaults"`
	Apps     *[]fileApp    `yaml:"apps"`
	Removed  *[]int64      `yaml:"removed"`
	Unsigned *[]int64      `yaml:"unsigned"`
}

// fileSettings are what defaults hold, and an app may override.
type fileSettings struct {
	TimeZone       *string        `yaml:"time_zone"`
	Steps          *fileSteps     `yaml:"steps"`
	RateLimit      *fileRateLimit `yaml:"rate_limit"`
	AlarmRateLimit *fileRateLimit `yaml:"alarm_rate_limit"`
}

type fileSteps struct {
	Watch     *float64 `yaml:"watch"`
	Warning   *float64 `yaml:"warning"`
	Critical  *float64 `yaml:"critical"`
	Exhausted *float64 `yaml:"exhausted"`
}

type fileRateLimit struct {
	PerSecond *float64 `yaml:"per_second"`
	Burst     *int     `yaml:"burst"`
}

type fileApp struct {
	ID        *int64         `yaml:"sdk_app_id"`
	Name      *string        `yaml:"name"`
	Owner     string         `yaml:"owner"`
	Tier      string         `yaml:"tier"`
	Site      *string        `yaml:"site"`
	Tokens    []string       `yaml:"tokens"`
	TimeZone  *string        `yaml:"time_zone"`
	Steps     *fileSteps     `yaml:"steps"`
	RateLimit *fileRateLimit `yaml:"rate_limit"`

	AlarmRateLimit *fileRateLimit `yaml:"alarm_rate_limit"`
}

func (a *fileApp) settings() fileSettings {
	return fileSettings{TimeZone: a.TimeZone, Steps: a.Steps, RateLimit: a.RateLimit, AlarmRateLimit: a.AlarmRateLimit}
}
