package docker

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestCommunicatorContract(t *testing.T) {
	for name, more := range map[string]map[string]cty.Value{
		"root":      {},
		"exec user": {"exec_user": cty.StringVal("nobody")},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			j := g.plan(g.tiny(more))
			m := g.start(j)
			cfg := componenttest.CommunicatorConfig{
				Dir: "/tmp",
				New: func(t testing.TB) component.Communicator {
					c, err := m.(component.SelfDialer).Dial(t.Context(), g.run)
					if err != nil {
						t.Fatal(err)
					}
					return c
				},
			}
			componenttest.Communicator(t, cfg)
		})
	}
}
