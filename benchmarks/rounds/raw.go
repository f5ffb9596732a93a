package rounds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// Raw returns what was measured as it stands in the results: a line of JSON for each value.
func Raw[T any](all []T) ([]byte, error) {
	var raw bytes.Buffer
	for i := range all {
		line, err := json.Marshal(all[i])
		if err != nil {
			return nil, fmt.Errorf("raw results: %w", err)
		}
		raw.Write(append(line, '\n'))
	}
	return raw.Bytes(), nil
}

// ReadRaw reads the file that Raw's lines were written to. Where there is none the error wraps
// fs.ErrNotExist.
func ReadRaw[T any](path string) ([]T, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("raw results: %w", err)
	}
	var all []T
	for line := range bytes.Lines(raw) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("raw results: line %d of %s: %w", len(all)+1, path, err)
		}
		all = append(all, one)
	}
	return all, nil
}
