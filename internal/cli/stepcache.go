package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/stepcache"
)

// defaultCacheLimit is how large the step cache may grow when INGOT_CACHE_LIMIT
// does not say.
const defaultCacheLimit = 20 << 30

// cacheFlags are what a command says about the step cache.
type cacheFlags struct {
	use, all, no, explain bool
	// from are cache folders of others.
	from []string
}

func (f *cacheFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.use, "cache", false, "start from what earlier builds made with the same provisioners, and save the machine where it is worth the time; the default is what INGOT_CACHE says")
	fl.BoolVar(&f.all, "cache-all", false, "save the machine after each provisioner, whatever time that takes; implies -cache")
	fl.StringArrayVar(&f.from, "cache-from", nil, "start also from what is in this cache folder, which is not changed; may be given more than once; implies -cache")
	fl.BoolVar(&f.no, "no-cache", false, "neither start from what was saved nor save, whatever INGOT_CACHE says")
	fl.BoolVar(&f.explain, "cache-explain", false, "say for each provisioner why its result is used again or not; implies -cache")
}

// stepCache is the step cache that a build is to use; nil for none.
func (a *app) stepCache(f cacheFlags, d dirs) (*engine.Cache, error) {
	use, all := f.use || f.explain || f.all || len(f.from) > 0, f.all
	if f.no && use {
		return nil, errors.New("-no-cache cannot be used with -cache, -cache-all, -cache-from or -cache-explain")
	}
	if text := a.getenv("INGOT_CACHE"); text != "" && !f.no {
		on, err := strconv.ParseBool(text)
		if text == "all" {
			on, all, err = true, true, nil
		}
		if err != nil {
			return nil, fmt.Errorf("INGOT_CACHE: %q is not 1, 0 or all", text)
		}
		use = use || on
	}
	if !use {
		return nil, nil
	}
	store, err := a.stepStore(d)
	if err != nil {
		return nil, err
	}
	for _, dir := range f.from {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("-cache-from: %s is not a folder", dir)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("-cache-from: %w", err)
		}
		store.From = append(store.From, abs)
	}
	secret, err := inputSecret(d)
	if err != nil {
		return nil, err
	}
	return &engine.Cache{Store: store, Secret: secret, Explain: f.explain, All: all}, nil
}

// inputSecret makes the digests of what is sensitive, wherever inputs are compared.
func inputSecret(d dirs) (stepcache.Secret, error) {
	return stepcache.LoadSecret(filepath.Join(d.State, "step-cache.key"))
}

func (a *app) stepStore(d dirs) (*stepcache.Store, error) {
	limit := int64(defaultCacheLimit)
	if text := a.getenv("INGOT_CACHE_LIMIT"); text != "" {
		n, err := units.FromHumanSize(text)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("INGOT_CACHE_LIMIT: %q is not a size such as 500MB or 10GB", text)
		}
		limit = n
	}
	return &stepcache.Store{Dir: d.Cache, Limit: limit, Remove: a.reapers().Reap, Clock: component.SystemClock{}}, nil
}

// stepEntries are the checkpoints in the cache.
func (a *app) stepEntries(ctx context.Context, d dirs) ([]cacheEntry, error) {
	store, err := a.stepStore(d)
	if err != nil {
		return nil, err
	}
	found, err := store.List()
	if err != nil {
		return nil, err
	}
	var out []cacheEntry
	for _, e := range found {
		out = append(out, cacheEntry{
			Type: "entry", Kind: "step", Path: e.Path, Build: e.Build, Step: e.Step(), Size: e.Size, Used: e.Used,
			remove: func() error { return store.Drop(ctx, e) },
		})
	}
	return out, nil
}

func (a *app) cacheVerifyCommand() *cobra.Command {
	var remove, asJSON bool
	c := &cobra.Command{
		Use:   "verify [flags]",
		Short: "Check that what the step cache has can be used",
		Long: `Checks the checkpoints of the step cache: that their files are as they were saved,
that what they stand on is there, and that the images they consist of are still on
their engines. What cannot be used does no harm: builds pass it over. The exit code
is 1 when there is such a checkpoint and it was not removed.`,
		Example: `  ingot cache verify
  ingot cache verify -remove`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.cacheVerify(cmd.Context(), remove, asJSON) },
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&remove, "remove", false, "remove what cannot be used")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per entry and a summary")
	return c
}

func (a *app) cacheVerify(ctx context.Context, remove, asJSON bool) error {
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	store, err := a.stepStore(d)
	if err != nil {
		return err
	}
	entries, err := store.List()
	if err != nil {
		return err
	}
	bad, left, size := 0, 0, int64(0)
	for _, e := range entries {
		wrong := a.verifyStep(ctx, store, e)
		size += e.Size
		line := cacheEntry{Type: "entry", Kind: "step", Path: e.Path, Build: e.Build, Step: e.Step(), Size: e.Size, Used: e.Used, Error: wrong}
		verb := "ok       "
		if wrong != "" {
			verb = "damaged  "
			bad++
		}
		if wrong != "" && remove {
			err := store.Drop(ctx, e)
			done := err == nil
			line.Removed, verb = &done, "removed  "
			if !done {
				verb = "damaged  "
				line.Error += "; it stays: " + err.Error()
			}
		}
		if wrong != "" && (line.Removed == nil || !*line.Removed) {
			left++
		}
		a.cacheLine(line, verb, asJSON)
		if line.Error != "" && !asJSON {
			fmt.Fprintf(a.streams.Out, "  %s\n", line.Error)
		}
	}
	if asJSON {
		err = a.jsonLine(cacheSummary{Type: "summary", Entries: len(entries), Size: size, Failed: &bad})
	} else {
		fmt.Fprintf(a.streams.Out, "%d %s, %d damaged\n", len(entries), plural(len(entries), "checkpoint", "checkpoints"), bad)
	}
	if err == nil && left > 0 {
		return exitError{exitFailure} // each has been printed
	}
	return err
}

// verifyStep says what is wrong with a checkpoint, "" when nothing is.
func (a *app) verifyStep(ctx context.Context, store *stepcache.Store, e stepcache.Entry) string {
	if wrong := store.Verify(e); wrong != "" {
		return wrong
	}
	holder, ok := builtins().Builder(e.Builder).(component.CheckpointHolder)
	if !ok {
		return "this program has no builder " + e.Builder + " that saves machines"
	}
	there, err := holder.HasCheckpoint(ctx, e.Checkpoint())
	switch {
	case err != nil:
		return err.Error()
	case !there:
		return "what it consists of is gone"
	}
	return ""
}
