package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// preface says how the table is to be read: the date, the machine, the command.
const preface = `# %s

%s, %s, %d cores, %s.

    %s

Each scenario runs the real binaries under load against a Kafka of three nodes, and holds what is in Kafka to a ledger that the load generator kept. "Found" counts callbacks that were answered 200; with "lost" and "memory: not found" they add up to "answered 200". A callback at ack level memory may be lost when its gateway is killed before it was written: only those whose answer came within 2 s of a kill are counted as such, any other is lost, and they are the end of what that process took: a scenario fails where something was found that was sent after such an answer. Duplicates may be at most what the journals held above their checkpoints at the kills: what was delivered since the last checkpoint and what was under way. Out of order counts first occurrences: of two callbacks of an app, the first had been answered before the second was sent, and stands behind it. The raw rows, with every kill, are in %s.jsonl.

%s`

// Write writes prefix.md, the table with how it came about, and prefix.jsonl, the rows. It makes
// the folder where that is missing.
func Write(prefix, how string, rows []Row) error {
	var raw bytes.Buffer
	for i := range rows {
		line, err := json.Marshal(&rows[i])
		if err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		raw.Write(append(line, '\n'))
	}
	name := filepath.Base(prefix)
	page := fmt.Sprintf(preface, name, time.Now().UTC().Format(time.DateOnly), machine(), runtime.NumCPU(), runtime.Version(), how, name, Table(rows))
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	for end, text := range map[string][]byte{".md": []byte(page), ".jsonl": raw.Bytes()} {
		if err := os.WriteFile(prefix+end, text, 0o644); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// machine names the system, and the processor where the system tells.
func machine() string {
	system := runtime.GOOS + "/" + runtime.GOARCH
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return system
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return system + ", " + strings.TrimSpace(value)
		}
	}
	return system
}
