package process

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Of each distinct message a second, the first sampleFirst are logged, then every
// sampleThen-th: a flood of refusals must not become a flood of logs.
const (
	sampleFirst = 100
	sampleThen  = 100
)

// LogFlags are the logging flags of both binaries, to be embedded in their configuration.
type LogFlags struct {
	Level  string `name:"log-level" enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"Least severe log lines to write: debug, info, warn or error."`
	Format string `name:"log-format" enum:"json,console" default:"json" placeholder:"FORMAT" help:"Form of log lines: json, one object a line, or console, for people."`
}

// New returns a logger that writes to w, one line an entry, safe for any number of
// goroutines. Equal messages are sampled. The error names the flag with a bad value.
func (f LogFlags) New(w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(f.Level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: want debug, info, warn or error, have %q", f.Level)
	}
	config := zap.NewProductionEncoderConfig()
	config.TimeKey, config.MessageKey = "time", "message"
	config.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	config.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch f.Format {
	case "json":
		encoder = zapcore.NewJSONEncoder(config)
	case "console":
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	default:
		return nil, fmt.Errorf("--log-format: want json or console, have %q", f.Format)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Second, sampleFirst, sampleThen)), nil
}
