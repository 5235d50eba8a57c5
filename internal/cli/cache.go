package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ingot/internal/builder/oci"
	"ingot/internal/fetch"
	"ingot/internal/stepcache"
)

type pruneFlags struct {
	olderThan string
	maxSize   string
	dryRun    bool
	all       bool
	json      bool
}

func (a *app) cacheCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache COMMAND",
		Short: "List, check or remove what builds keep for later ones",
		Long: `Installer images, base images and other downloads stay in a cache that all
builds share, and so do the machines that -cache saves after each provisioner.
'list' shows what is in it, 'prune' removes what is not needed, and 'verify' checks
the saved machines.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing: list, prune or verify"), cmd}
		},
	}
	var asJSON bool
	list := &cobra.Command{
		Use:   "list [flags]",
		Short: "List what is in the cache",
		Long:  "Lists what is in the cache, what was used last first.",
		Example: `  ingot cache list
  ingot cache list -json | jq -r .path`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.cacheList(cmd.Context(), asJSON) },
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per entry and a summary")
	var f pruneFlags
	prune := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove what is not needed from the cache",
		Long: `Removes entries of the cache: those that were not used for a time, those that
were not used for the longest time until the rest is small enough, or all. What a
build is using now stays.`,
		Example: `  ingot cache prune -older-than=30d
  ingot cache prune -max-size=10GB -dry-run
  ingot cache prune -all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.cachePrune(cmd, f) },
	}
	fl := prune.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.olderThan, "older-than", "", "remove what was not used for this `time`, such as 30d or 12h")
	fl.StringVar(&f.maxSize, "max-size", "", "remove what was used least recently until the cache has at most this `size`, such as 10GB")
	fl.BoolVar(&f.all, "all", false, "remove everything")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only list what would be removed")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per entry and a summary")
	c.AddCommand(list, prune, a.cacheVerifyCommand())
	return c
}

// cacheEntry is anything in the cache.
type cacheEntry struct {
	Type string `json:"type"`
	Kind string `json:"kind"`
	Path string `json:"path"`
	URL  string `json:"url,omitempty"`
	// Build and Step say of a saved machine after which step of which build.
	Build string    `json:"build,omitempty"`
	Step  string    `json:"step,omitempty"`
	Size  int64     `json:"size"`
	Used  time.Time `json:"used"`
	// Removed is set by prune.
	Removed *bool  `json:"removed,omitempty"`
	Error   string `json:"error,omitempty"`

	remove func() error
}

// cacheSummary is the last line of -json.
type cacheSummary struct {
	Type    string `json:"type"`
	Entries int    `json:"entries"`
	Size    int64  `json:"size"`
	Failed  *int   `json:"failed,omitempty"`
}

// cacheEntries is what is in the cache, what was used last first.
func (a *app) cacheEntries(ctx context.Context, d dirs) ([]cacheEntry, error) {
	cacheDir := d.Cache
	out, err := a.stepEntries(ctx, d)
	if err != nil {
		return nil, err
	}
	downloads, err := fetch.List(cacheDir)
	if err != nil {
		return nil, err
	}
	for _, d := range downloads {
		kind := "download"
		if d.Partial {
			kind = "partial"
		}
		out = append(out, cacheEntry{Type: "entry", Kind: kind, Path: d.Path, URL: d.URL, Size: d.Size, Used: d.Used, remove: func() error { return fetch.Remove(cacheDir, d) }})
	}
	bases, err := oci.Cached(cacheDir)
	if err != nil {
		return nil, err
	}
	for _, b := range bases {
		out = append(out, cacheEntry{Type: "entry", Kind: "oci-" + b.Kind, Path: b.Path, Size: b.Size, Used: b.Used, remove: func() error { return oci.RemoveCached(cacheDir, b) }})
	}
	slices.SortStableFunc(out, func(a, b cacheEntry) int {
		return cmp.Or(b.Used.Compare(a.Used), strings.Compare(a.Path, b.Path))
	})
	return out, nil
}

func (a *app) cacheList(ctx context.Context, asJSON bool) error {
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	entries, err := a.cacheEntries(ctx, d)
	if err != nil {
		return err
	}
	var total int64
	for _, e := range entries {
		total += e.Size
		a.cacheLine(e, "", asJSON)
	}
	if asJSON {
		return a.jsonLine(cacheSummary{Type: "summary", Entries: len(entries), Size: total})
	}
	fmt.Fprintf(a.streams.Out, "%d %s, %s in %s\n", len(entries), plural(len(entries), "entry", "entries"), units.HumanSize(float64(total)), d.Cache)
	return nil
}

func (a *app) cacheLine(e cacheEntry, verb string, asJSON bool) {
	if asJSON {
		_ = a.jsonLine(e) // a reader that has gone away is noticed with the summary
		return
	}
	from := e.URL
	switch {
	case e.Build != "":
		from = e.Build + ": " + e.Step
	case from == "":
		from = filepath.Base(e.Path)
	}
	fmt.Fprintf(a.streams.Out, "%s%-13s %9s  %s  %s\n", verb, e.Kind, units.HumanSize(float64(e.Size)), e.Used.Local().Format(time.DateTime), from)
}

func (a *app) jsonLine(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(a.streams.Out, "%s\n", data)
	}
	return err
}

func (a *app) cachePrune(cmd *cobra.Command, f pruneFlags) error {
	keep, err := f.keeps(time.Now())
	if err != nil {
		return usageError{err, cmd}
	}
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	entries, err := a.cacheEntries(cmd.Context(), d)
	if err != nil {
		return err
	}
	removed, failed, freed := 0, 0, int64(0)
	for _, e := range entries {
		if keep(e) {
			continue
		}
		done := false
		if !f.dryRun {
			err := e.remove()
			if done = err == nil; !done {
				e.Error = err.Error()
			}
			if !done && !errors.Is(err, fetch.ErrInUse) && !errors.Is(err, oci.ErrCacheInUse) && !errors.Is(err, stepcache.ErrInUse) {
				failed++
			}
		}
		e.Removed = &done
		if e.Error == "" {
			removed++
			freed += e.Size
		}
		a.pruned(e, f)
	}
	if f.json {
		err = a.jsonLine(cacheSummary{Type: "summary", Entries: removed, Size: freed, Failed: &failed})
	} else {
		verb := "removed"
		if f.dryRun {
			verb = "would be removed"
		}
		fmt.Fprintf(a.streams.Out, "%d %s, %s %s\n", removed, plural(removed, "entry", "entries"), units.HumanSize(float64(freed)), verb)
	}
	if err == nil && failed > 0 {
		return exitError{exitFailure} // each failure has been printed
	}
	return err
}

func (a *app) pruned(e cacheEntry, f pruneFlags) {
	switch {
	case f.json:
		a.cacheLine(e, "", true)
	case e.Error != "":
		fmt.Fprintf(a.streams.Err, "%s stays: %s\n", e.Path, e.Error)
	case f.dryRun:
		a.cacheLine(e, "would remove  ", false)
	default:
		a.cacheLine(e, "removed  ", false)
	}
}

// keeps returns what decides which entries stay. It is asked in the order in
// which they were used, the last first.
func (f pruneFlags) keeps(now time.Time) (func(cacheEntry) bool, error) {
	if f.all && (f.olderThan != "" || f.maxSize != "") {
		return nil, errors.New("-all removes everything; it cannot be used with -older-than or -max-size")
	}
	if !f.all && f.olderThan == "" && f.maxSize == "" {
		return nil, errors.New("say what to remove: -older-than, -max-size or -all")
	}
	since, room := time.Time{}, int64(-1)
	if f.olderThan != "" {
		d, err := parseAge(f.olderThan)
		if err != nil {
			return nil, fmt.Errorf("-older-than: %w", err)
		}
		since = now.Add(-d)
	}
	if f.maxSize != "" {
		n, err := units.FromHumanSize(f.maxSize)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("-max-size: %q is not a size such as 500MB or 10GB", f.maxSize)
		}
		room = n
	}
	var used int64
	return func(e cacheEntry) bool {
		if f.all || e.Used.Before(since) {
			return false
		}
		used += e.Size
		return room < 0 || used <= room
	}, nil
}

// parseAge reads a duration that may be in days.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a time such as 30d or 12h", text)
}
