package component

import (
	"fmt"
	"reflect"
	"time"

	"github.com/zclconf/go-cty/cty"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	ctyValueType = reflect.TypeFor[cty.Value]()
)

// Decode copies a configuration into a struct. Fields name their attribute
// with a `cty:"name"` tag; an embedded struct without a tag shares its
// parent's attributes; fields without a tag are left alone. Kinds: string,
// bool, integers, float64, time.Duration (from a duration string),
// cty.Value, slices and string-keyed maps of those, structs for blocks, and a
// pointer to any of them, which stays nil for null.
//
// Null and unknown values leave the field at its zero value, and so does a list
// or map of which some elements are not known; see Known. The error is a mismatch between struct and schema, which is a programming
// mistake, or a number that is out of the field's range.
func Decode(cfg cty.Value, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode configuration: want a pointer to a struct, got %T", into)
	}
	if cfg.IsNull() || !cfg.IsKnown() {
		return nil
	}
	return decodeStruct(cfg, v.Elem())
}

// Known reports whether the attribute, with all that it holds, has a value
// that is known now. A null is known.
func Known(cfg cty.Value, attribute string) bool {
	if !cfg.IsKnown() {
		return false
	}
	return cfg.GetAttr(attribute).IsWhollyKnown()
}

// IsSet reports whether the attribute has a value, be it known or not.
func IsSet(cfg cty.Value, attribute string) bool {
	if cfg.IsNull() || !cfg.IsKnown() {
		return false
	}
	v := cfg.GetAttr(attribute)
	return !v.IsNull()
}

// HasValue reports whether the attribute surely holds something: a value that
// is not known yet may turn out to be null, so that it is neither in conflict
// with another attribute nor missing.
func HasValue(cfg cty.Value, attribute string) bool {
	if !IsSet(cfg, attribute) {
		return false
	}
	v, _ := cfg.GetAttr(attribute).Unmark()
	switch {
	case !v.IsKnown():
		return false
	case v.Type() == cty.String:
		return v.AsString() != ""
	case v.CanIterateElements() && !v.Type().IsObjectType():
		return v.LengthInt() > 0
	}
	return true
}

func decodeStruct(cfg cty.Value, into reflect.Value) error {
	t := into.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, tagged := f.Tag.Lookup("cty")
		switch {
		case !tagged && f.Anonymous && f.Type.Kind() == reflect.Struct:
			if err := decodeStruct(cfg, into.Field(i)); err != nil {
				return err
			}
			continue
		case !tagged || !f.IsExported():
			continue
		}
		if !cfg.Type().HasAttribute(name) {
			return fmt.Errorf("decode configuration: the schema has no attribute %q for field %s", name, f.Name)
		}
		if err := decodeValue(cfg.GetAttr(name), into.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func decodeValue(v cty.Value, into reflect.Value) error {
	if into.Type() == ctyValueType {
		into.Set(reflect.ValueOf(v))
		return nil
	}
	v, _ = v.Unmark()
	if v.IsNull() || !v.IsKnown() || isCollection(v.Type()) && !v.IsWhollyKnown() {
		return nil
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return decodeValue(v, into.Elem())
	}
	ty := v.Type()
	switch {
	case ty == cty.String && into.Type() == durationType:
		d, err := time.ParseDuration(v.AsString())
		if err != nil {
			return fmt.Errorf("%q is not a duration such as \"30s\" or \"5m\"", v.AsString())
		}
		into.SetInt(int64(d))
	case ty == cty.String && into.Kind() == reflect.String:
		into.SetString(v.AsString())
	case ty == cty.Bool && into.Kind() == reflect.Bool:
		into.SetBool(v.True())
	case ty == cty.Number:
		return decodeNumber(v, into)
	case into.Kind() == reflect.Slice && v.CanIterateElements() && !ty.IsObjectType() && !ty.IsMapType():
		return decodeSlice(v, into)
	case into.Kind() == reflect.Map && (ty.IsMapType() || ty.IsObjectType()):
		return decodeMap(v, into)
	case into.Kind() == reflect.Struct && ty.IsObjectType():
		return decodeStruct(v, into)
	default:
		return fmt.Errorf("decode configuration: %s does not fit %s", ty.FriendlyName(), into.Type())
	}
	return nil
}

// isCollection tells collections of plain values from those of blocks, each of
// which is decoded as far as it is known.
func isCollection(t cty.Type) bool {
	return t.IsCollectionType() && !t.ElementType().IsObjectType()
}

func decodeNumber(v cty.Value, into reflect.Value) error {
	bf := v.AsBigFloat()
	switch into.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		n, acc := bf.Int64()
		if acc != 0 || into.OverflowInt(n) {
			return fmt.Errorf("%s is not a whole number in range", bf.Text('g', -1))
		}
		into.SetInt(n)
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		n, acc := bf.Uint64()
		if acc != 0 || into.OverflowUint(n) {
			return fmt.Errorf("%s is not a whole number in range", bf.Text('g', -1))
		}
		into.SetUint(n)
	case reflect.Float64:
		f, _ := bf.Float64()
		into.SetFloat(f)
	default:
		return fmt.Errorf("decode configuration: a number does not fit %s", into.Type())
	}
	return nil
}

func decodeSlice(v cty.Value, into reflect.Value) error {
	out := reflect.MakeSlice(into.Type(), v.LengthInt(), v.LengthInt())
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, ev := it.Element()
		if err := decodeValue(ev, out.Index(i)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	into.Set(out)
	return nil
}

func decodeMap(v cty.Value, into reflect.Value) error {
	out := reflect.MakeMapWithSize(into.Type(), v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, ev := it.Element()
		elem := reflect.New(into.Type().Elem()).Elem()
		if err := decodeValue(ev, elem); err != nil {
			return fmt.Errorf("key %q: %w", k.AsString(), err)
		}
		out.SetMapIndex(reflect.ValueOf(k.AsString()).Convert(into.Type().Key()), elem)
	}
	into.Set(out)
	return nil
}
