package journal

import "fmt"

// Level is what an answer waits for.
type Level uint8

// The levels, from the weakest.
const (
	// Memory is appended. Lost with the process, by kill -9 as by power loss, is what is not
	// synced: what came in the last 5 ms and during one sync, as a batch for which nobody
	// waits is left to fill that long; on a device that stalls up to two batches, 8 MiB.
	Memory Level = iota
	Disk         // synced; survives kill -9 and power loss
	Broker       // delivered; survives the loss of this machine
)

var levelNames = [...]string{"memory", "disk", "broker"}

// ParseLevel reads the name of a level. The error lists the names.
func ParseLevel(s string) (Level, error) {
	for i, name := range levelNames {
		if s == name {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("ack level %q: want memory, disk or broker", s)
}

// String is the name that ParseLevel reads.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// UnmarshalText lets flags and files name a level.
func (l *Level) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLevel(string(b))
	return err
}

// MarshalText is the inverse of UnmarshalText.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
