package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/journal"
)

// provider has things with labels.
type provider struct {
	found   []component.Found
	removed []string
	fails   string
}

func (*provider) Kinds() []string  { return []string{"thing"} }
func (*provider) Provider() string { return "test" }
func (p *provider) Find(context.Context) ([]component.Found, error) {
	return p.found, nil
}
func (p *provider) Reap(_ context.Context, r component.Resource) error {
	if r.ID == p.fails {
		return errors.New("no")
	}
	p.removed = append(p.removed, r.ID)
	return nil
}

func TestSweepProvider(t *testing.T) {
	now := time.Now()
	thing := func(id, run string, made, expires time.Duration) component.Found {
		f := component.Found{Resource: component.Resource{Kind: "thing", ID: id, Token: "t-" + id}, Run: run}
		if made != 0 {
			f.Made = now.Add(-made)
		}
		if expires != 0 {
			f.Expires = now.Add(expires)
		}
		return f
	}
	named := thing("named", "", 0, 0)
	named.Resource.Token = journal.NewToken() // as old as this test
	found := []component.Found{
		thing("expired", "gone", 2*time.Hour, -time.Hour),
		thing("needed", "gone", 2*time.Hour, time.Hour),
		thing("alive", "alive", 48*time.Hour, -time.Hour),
		thing("held", "", 48*time.Hour, 0),
		thing("old", "", 25*time.Hour, 0),
		thing("young", "", 23*time.Hour, 0),
		thing("unknown", "", 0, 0),
		named,
	}
	hour, none := time.Hour, time.Duration(0)
	for _, c := range []struct {
		name   string
		o      journal.SweepOptions
		fails  string
		want   string
		failed int
	}{
		{"what has expired", journal.SweepOptions{}, "", "expired old", 0},
		{"nothing in a dry run", journal.SweepOptions{DryRun: true}, "", "", 0},
		{"what is old", journal.SweepOptions{OlderThan: &hour}, "", "expired needed old young", 0},
		{"all whose age is known", journal.SweepOptions{OlderThan: &none}, "", "expired needed old young named", 0},
		{"a run", journal.SweepOptions{Runs: []string{"gone"}}, "", "expired needed", 0},
		{"a run that is alive", journal.SweepOptions{Runs: []string{"alive"}}, "", "", 0},
		{"goes on after a failure", journal.SweepOptions{}, "expired", "old", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := journal.FileStore{Dir: t.TempDir()}
			log := create(t, store, "alive")
			defer log.Close()
			held := component.Resource{Kind: "thing", Token: "t-held"}
			if err := log.Append(journal.Record{Type: journal.Intent, Lease: 1, Resource: &held}); err != nil {
				t.Fatal(err)
			}
			p := &provider{found: found, fails: c.fails}
			var told []string
			c.o.Now = now
			c.o.Report = func(f component.Found, err error) { told = append(told, fmt.Sprint(f.Resource.ID, err)) }
			c.o.Left = func(f component.Found, why string) {
				if told = append(told, f.Resource.ID); why == "" {
					t.Errorf("%s is left for no reason", f.Resource.ID)
				}
			}
			total, err := journal.Sweep(t.Context(), store, p, c.o)
			if got := strings.Join(p.removed, " "); got != c.want || total.Failed != c.failed || (err != nil) != (c.failed > 0) {
				t.Errorf("removed %q, want %q; %+v, %v", got, c.want, total, err)
			}
			if len(told) != len(found) {
				t.Errorf("told of %v", told)
			}
		})
	}
}

func TestTokenTime(t *testing.T) {
	before := time.Now().Add(-time.Second)
	at, ok := journal.TokenTime(journal.NewToken())
	if !ok || at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("a token of now is of %s, %v", at, ok)
	}
	for _, foreign := range []string{"", "ingot-", "ingot-foreign", "packer-01arz3ndektsv4rrffq69g5fav", "ingot-01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		if _, ok := journal.TokenTime(foreign); ok {
			t.Errorf("%q is a token", foreign)
		}
	}
	if all := []string{journal.NewToken(), journal.NewToken()}; slices.Compact(all)[0] == "" || len(slices.Compact(all)) != 2 {
		t.Error("tokens repeat")
	}
}
