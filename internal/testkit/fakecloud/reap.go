package fakecloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ingot/internal/component"
)

const (
	attrEndpoint = "endpoint"
	// attrAsked is when the cloud was asked to make the thing.
	attrAsked = "asked"
	// EndpointVariable names the cloud that is swept.
	EndpointVariable = "FAKECLOUD_ENDPOINT"
)

func collections() []string { return []string{Images, Instances, Disks, KeyPairs} }

func kindOf(collection string) string { return Name + "." + strings.TrimSuffix(collection, "s") }

type reaper struct{ deps Deps }

var _ component.Sweeper = reaper{}

// NewReaper returns the reaper, which can sweep as well.
func NewReaper(deps Deps) component.Reaper { return reaper{deps} }

// Kinds implements component.Reaper.
func (reaper) Kinds() []string {
	var out []string
	for _, c := range collections() {
		out = append(out, kindOf(c))
	}
	return out
}

// Reap implements component.Reaper. A thing that the cloud does not find is gone only
// when it would have to be found by now.
func (p reaper) Reap(ctx context.Context, r component.Resource) error {
	collection := strings.TrimPrefix(r.Kind, Name+".") + "s"
	c := p.deps.client(r.Attrs[attrEndpoint], nil)
	for {
		mayAppear := mayAppear(r, p.deps.Clock.Now())
		done, err := p.try(ctx, c, collection, r)
		if err != nil || done || !mayAppear {
			return err
		}
		if err := p.deps.Clock.Sleep(ctx, pollEvery); err != nil {
			return fmt.Errorf("fakecloud: wait for %s to appear: %w", r.Token, err)
		}
	}
}

func mayAppear(r component.Resource, now time.Time) bool {
	asked, err := time.Parse(time.RFC3339Nano, r.Attrs[attrAsked])
	return err == nil && now.Sub(asked) < settleTime
}

// try removes the thing if it is found.
func (p reaper) try(ctx context.Context, c *client, collection string, r component.Resource) (done bool, err error) {
	ids := []string{r.ID}
	if r.ID == "" {
		things, err := c.list(ctx, collection, component.LabelToken+"="+r.Token)
		if err != nil {
			return false, err
		}
		ids = nil
		for _, t := range things {
			ids = append(ids, t.ID)
		}
	}
	for _, id := range ids {
		err := c.delete(ctx, collection, id)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return false, err
		}
		done = true
	}
	return done, nil
}

// Provider implements component.Sweeper.
func (reaper) Provider() string { return Name }

// Find implements component.Sweeper.
func (p reaper) Find(ctx context.Context) ([]component.Found, error) {
	endpoint := os.Getenv(EndpointVariable)
	if endpoint == "" {
		return nil, errors.New("fakecloud: set " + EndpointVariable)
	}
	c := p.deps.client(endpoint, nil)
	var out []component.Found
	for _, collection := range collections() {
		things, err := c.list(ctx, collection, component.LabelToken)
		if err != nil {
			return nil, err
		}
		for _, t := range things {
			r := component.Resource{Kind: kindOf(collection), Token: t.Token, ID: t.ID, Attrs: map[string]string{attrEndpoint: endpoint}}
			out = append(out, component.FoundBy(r, t.Labels, time.Time{}))
		}
	}
	return out, nil
}
