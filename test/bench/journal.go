//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/journal"
)

var journalFigures = []figure{
	{"journal: records a second, each synced, on tmpfs", ">= 2,000", journalRecords},
	{"journal: its part of the docker build's time", "<= 1 %", journalPart},
}

// appendTime is how long a record takes to be safe in a folder, on average.
func appendTime(dir string, records int) (time.Duration, error) {
	dir, err := os.MkdirTemp(dir, "ingot-bench-journal-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	log, err := journal.FileStore{Dir: dir}.Create(context.Background(), journal.RunInfo{ID: "bench", Started: time.Now()})
	if err != nil {
		return 0, err
	}
	resource := component.Resource{Kind: "docker.container", Token: journal.NewToken(), Attrs: map[string]string{"host": "unix:///var/run/docker.sock"}}
	begin := time.Now()
	for n := range records {
		err = errors.Join(err, log.Append(journal.Record{
			Type: journal.Intent, Time: begin, Lease: uint64(n), Build: "docker.bench", Resource: &resource,
		}))
	}
	return time.Since(begin) / time.Duration(records), errors.Join(err, log.Close())
}

func journalRecords(b *bench) (string, error) {
	var best []sample
	for range b.runs {
		took, err := appendTime("/dev/shm", 5000)
		if err != nil {
			return "", err
		}
		best = append(best, sample{wall: took})
	}
	return fmt.Sprintf("%.0f", float64(time.Second)/float64(median(best).wall)), nil
}

// journalPart counts the records of a docker build by its events, and compares the time
// that as many take where the journal is with that of the build.
func journalPart(b *bench) (string, error) {
	path, err := b.dockerTemplate()
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.ingotRun("build", "-json", path))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "output"))
	if err != nil {
		return "", err
	}
	records := 1 // that of the run
	for line := range strings.Lines(string(text)) {
		var e struct{ Type string }
		if json.Unmarshal([]byte(line), &e) != nil {
			continue // not an event
		}
		switch e.Type {
		case "resource_held":
			records += 2
		case "resource_released", "resource_kept":
			records++
		}
	}
	if records < 5 {
		return "", fmt.Errorf("the build's events tell of %d records", records)
	}
	each, err := appendTime(b.dir, 500)
	if err != nil {
		return "", err
	}
	all := each * time.Duration(records)
	return fmt.Sprintf("%.2f %%: %d records of %.2f ms in %s", 100*float64(all)/float64(s[0].wall), records,
		float64(each.Microseconds())/1000, seconds(s[0].wall)), nil
}
