package planview

import (
	"strings"

	"ingot/internal/component"
)

// Count is how many things of a kind a plan creates.
type Count struct {
	Kind  string
	Count int
}

// Summary counts what a plan has.
type Summary struct {
	Builds, Provisioners, PostProcessors int
	// Creates counts what stays, in the order of the first of each kind.
	// Several steps that name the same thing count once.
	Creates []Count
}

// Summary counts. The error-cleanup-provisioner counts as none.
func (v *View) Summary() Summary {
	out := Summary{Builds: len(v.Builds)}
	type thing struct{ kind, name string }
	index, named := map[string]int{}, map[thing]bool{}
	add := func(l []component.Creation) {
		for _, c := range l {
			this := thing{c.Kind, c.Name}
			if c.Temporary || named[this] {
				continue
			}
			named[this] = c.Name != "" && !strings.Contains(c.Name, hidden)
			i, seen := index[c.Kind]
			if !seen {
				i = len(out.Creates)
				index[c.Kind] = i
				out.Creates = append(out.Creates, Count{Kind: c.Kind})
			}
			out.Creates[i].Count++
		}
	}
	for _, b := range v.Builds {
		out.Provisioners += len(b.Provisioners)
		add(b.Creates)
		for _, s := range b.Provisioners {
			add(s.Creates)
		}
		for _, chain := range b.Chains {
			out.PostProcessors += len(chain)
			for _, s := range chain {
				add(s.Creates)
			}
		}
	}
	return out
}
