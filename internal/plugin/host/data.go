package host

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/plugin/packerwire"
)

// facts makes values of templates of what a plugin says of a machine. Packer refuses
// anything but scalars; here lists and maps are values too.
func facts(data map[string]any) map[string]cty.Value {
	out := make(map[string]cty.Value, len(data))
	for name, v := range data {
		if v != nil {
			out[strings.ToValidUTF8(name, "�")] = fact(v)
		}
	}
	return out
}

func fact(v any) cty.Value {
	switch v := v.(type) {
	case nil:
		return cty.NullVal(cty.String)
	case string:
		return cty.StringVal(strings.ToValidUTF8(v, "�"))
	case []byte:
		return cty.StringVal(strings.ToValidUTF8(string(v), "�"))
	case bool:
		return cty.BoolVal(v)
	case int64:
		return cty.NumberIntVal(v)
	case uint64:
		return cty.NumberUIntVal(v)
	case float64:
		if v-v != 0 { // neither infinite nor no number
			return cty.StringVal(fmt.Sprint(v))
		}
		return cty.NumberFloatVal(v)
	case time.Time:
		return cty.StringVal(v.Format(time.RFC3339Nano))
	case []any:
		list := make([]cty.Value, len(v))
		for i, e := range v {
			list[i] = fact(e)
		}
		return cty.TupleVal(list)
	case map[string]any:
		return cty.ObjectVal(facts(v))
	}
	return cty.StringVal(fmt.Sprint(v))
}

// data makes of facts what plugins are given, with the names that all of them may look
// for.
func data(facts map[string]cty.Value) map[string]any {
	out := packerwire.MachineData()
	maps.Copy(out, plain(facts))
	return out
}

func plain(facts map[string]cty.Value) map[string]any {
	out := make(map[string]any, len(facts))
	for name, v := range facts {
		if p := plainValue(v); p != nil {
			out[name] = p
		}
	}
	return out
}

func plainValue(v cty.Value) any {
	v, _ = v.Unmark()
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return nil
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		f := v.AsBigFloat()
		if n, exact := f.Int64(); exact == 0 {
			return n
		}
		n, _ := f.Float64()
		return n
	case t.IsMapType() || t.IsObjectType():
		return plain(v.AsValueMap())
	case v.CanIterateElements():
		list := make([]any, 0, v.LengthInt())
		for _, e := range v.AsValueSlice() {
			list = append(list, plainValue(e))
		}
		return list
	}
	return nil
}

// secrets are the values among the data of a machine that nobody may see.
func secrets(data map[string]any) []string {
	var out []string
	for _, name := range []string{"Password", "SSHPrivateKey", "WinRMPassword"} {
		if s, ok := data[name].(string); ok && s != "" {
			out = append(out, s)
		}
	}
	return out
}
