package docker

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

func TestCommit(t *testing.T) {
	g := newRig(t)
	var (
		j   *job
		m   component.Machine
		c   component.Communicator
		art *component.Artifact
		err error
	)
	j = g.plan(g.tiny(map[string]cty.Value{"commit": cty.True}))
	timed(t, "prepare", func() { err = j.Prepare(t.Context(), g.run) })
	if err != nil {
		t.Fatal(err)
	}
	timed(t, "boot", func() { m, err = j.Boot(t.Context(), g.run) })
	if err != nil {
		t.Fatal(err)
	}
	c, _ = m.(component.SelfDialer).Dial(t.Context(), g.run)
	timed(t, "exec 1", func() { g.sh(c, "echo one >/one") })
	timed(t, "exec 2", func() { g.sh(c, "echo two >/two") })
	timed(t, "put", func() {
		if err := c.Put(t.Context(), "/put", strings.NewReader("hello"), component.FileMeta{Size: 5}); err != nil {
			t.Fatal(err)
		}
	})
	timed(t, "commit", func() { art, err = j.Capture(t.Context(), g.run, m) })
	if err != nil {
		t.Fatal(err)
	}
	timed(t, "release", func() { g.ledger.release() })
	t.Logf("%+v", art)
	_, err = g.engine.ImageRemove(context.Background(), art.ID, client.ImageRemoveOptions{})
	if err != nil {
		t.Error(err)
	}
}
