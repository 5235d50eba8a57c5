package serve

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/plugin/packerwire"
)

// factsOf are the values of a machine that a host has sent, without those that only
// say that the builder does not supply them.
func factsOf(data map[string]any) map[string]cty.Value {
	out := make(map[string]cty.Value, len(data))
	for name, raw := range data {
		if packerwire.Unsupplied(raw) {
			continue
		}
		if v, err := valueOf(raw, 0); err == nil {
			out[name] = v
		}
	}
	return out
}

// hookData are the values of a machine as provisioners of a host look for them: those
// that every builder sends are there, of the type that they have everywhere.
func hookData(facts map[string]cty.Value) map[string]any {
	out := packerwire.MachineData()
	maps.Copy(out, sendFacts(facts))
	return out
}

// sendFacts are values of a machine as a host takes them: scalars only, since others
// fail a build there.
func sendFacts(facts map[string]cty.Value) map[string]any {
	out := make(map[string]any, len(facts))
	for name, v := range facts {
		if v.IsMarked() || v.IsNull() || !v.IsKnown() {
			continue
		}
		switch v.Type() {
		case cty.String:
			out[name] = v.AsString()
		case cty.Bool:
			out[name] = v.True()
		case cty.Number:
			if n, acc := v.AsBigFloat().Int64(); acc == 0 {
				out[name] = n
			} else {
				f, _ := v.AsBigFloat().Float64()
				out[name] = f
			}
		}
	}
	return out
}

// scalarText is a scalar as text.
func scalarText(v cty.Value) (string, bool) {
	if v.IsNull() || !v.IsKnown() {
		return "", false
	}
	switch v.Type() {
	case cty.String:
		return v.AsString(), true
	case cty.Number:
		return v.AsBigFloat().Text('f', -1), true
	case cty.Bool:
		return strconv.FormatBool(v.True()), true
	}
	return "", false
}

func absoluteDir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("folder of %s: %w", path, err)
	}
	return filepath.Dir(abs), nil
}
