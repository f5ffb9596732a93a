//go:build linux

package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

const (
	// Nowhere is the address of a broker that is not there: Kafka away.
	Nowhere = "127.0.0.1:1"

	// Starting bounds how long a server takes until it answers.
	Starting = 20 * time.Second

	maxPrinted = 16 << 10 // bytes of output in an error
)

// Launch starts a server whose output is appended to the file at output, and returns when it is
// ready; without a Path it is this program. On an error nothing is left running, and what it
// printed is in the error.
func Launch(ctx context.Context, o stack.ChildOptions, output string) (*stack.Child, error) {
	if o.Path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
		o.Path = self
	}
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	defer out.Close() // the child has its own
	o.Log = out
	child := stack.NewChild(o)
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("server: %w (make build makes the gateway)", err)
	}
	ctx, cancel := context.WithTimeout(ctx, Starting)
	defer cancel()
	if err := child.Ready(ctx); err != nil {
		return nil, errors.Join(Explain(err, output), child.Kill())
	}
	return child, nil
}

// Explain adds to err the end of what a server has printed into the file at output.
func Explain(err error, output string) error {
	printed, _ := os.ReadFile(output)
	return fmt.Errorf("server: %w\n%s", err, printed[max(0, len(printed)-maxPrinted):])
}
