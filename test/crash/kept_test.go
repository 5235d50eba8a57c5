package crash

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"ingot/internal/journal"
)

// keptOf returns the id of the resource of a kind that a journal gives to the user, ""
// for none.
func keptOf(t *testing.T, path, kind string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	wanted, ids := map[uint64]bool{}, map[uint64]string{}
	for line := range strings.Lines(string(text)) {
		_, record, _ := strings.Cut(line, " ")
		var r journal.Record
		if json.Unmarshal([]byte(record), &r) != nil {
			continue // torn by the crash
		}
		switch r.Type {
		case journal.Intent:
			wanted[r.Lease] = r.Resource.Kind == kind
		case journal.Made:
			ids[r.Lease] = r.ID
		case journal.Kept:
			if wanted[r.Lease] {
				return ids[r.Lease]
			}
		}
	}
	return ""
}
