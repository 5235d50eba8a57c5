package funcs

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func datetimeFuncs(env Env) map[string]function.Function {
	return map[string]function.Function{
		"formatdate": describe(stdlib.FormatDateFunc,
			"Writes an RFC 3339 timestamp in another layout.",
			"The layout: repeated letters such as YYYY, MM, DD, hh, mm, ss and ZZZZZ; other letters go between single quotes.",
			"The timestamp."),
		"legacy_isotime": isotimeFunc(env.Start),
		"legacy_strftime": stringFunc("Writes the time at which the run began, in UTC, by the verbs of strftime.",
			func(args ...string) (string, error) { return strftimeStrict(args[0], env.Start.UTC()) },
			text("format", "The format, such as %Y-%m-%d; an unknown verb is an error.")),
		"rfc3339_parse": newFunc("Takes an RFC 3339 timestamp apart, in its own time zone.",
			timeParts("unix", cty.Number), parseRFC3339,
			text("timestamp", "The timestamp; a space may stand for its T.")),
		"timeadd": describe(stdlib.TimeAddFunc,
			"Adds a duration to an RFC 3339 timestamp.",
			"The timestamp.", "The duration, such as 1h30m or -10s."),
		"timestamp": stringFunc("Returns the time at which the run began, in UTC, as RFC 3339; it is the same wherever the template asks for it.",
			func(...string) (string, error) { return env.Start.UTC().Format(time.RFC3339), nil }),
		"unix_timestamp_parse": newFunc("Takes a Unix timestamp apart, in UTC.",
			timeParts("rfc3339", cty.String), parseUnixTimestamp,
			number("unix_timestamp", "Seconds since 1970-01-01T00:00:00Z; a number, or a string that holds one.")),
	}
}

func isotimeFunc(start time.Time) function.Function {
	layout := text("layout", "A layout in the terms of Go's reference time, such as 2006-01-02; without it, RFC 3339.")
	return function.New(&function.Spec{
		Description:  "Writes the time at which the run began, in UTC.",
		VarParam:     &layout,
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch len(args) {
			case 0:
				return cty.StringVal(start.UTC().Format(time.RFC3339)), nil
			case 1:
				return cty.StringVal(start.UTC().Format(args[0].AsString())), nil
			default:
				return cty.NilVal, fmt.Errorf("legacy_isotime takes at most one layout, not %d", len(args))
			}
		},
	})
}

// strftimeStrict is strftime with an error for a verb that it does not know, which the library would copy as it stands.
func strftimeStrict(format string, t time.Time) (string, error) {
	for rest := format; ; {
		_, tail, found := strings.Cut(rest, "%")
		if !found {
			return strftime.Format(format, t), nil
		}
		verb := "%" + tail[:verbLength(tail)]
		if strftime.Format(verb, t) == verb {
			return "", function.NewArgErrorf(0, "format %q has the unknown verb %q", format, verb)
		}
		rest = tail[len(verb)-1:]
	}
}

// verbLength is the length of what follows a percent sign: a flag, a modifier and a letter, of which the letter alone
// must be there.
func verbLength(s string) int {
	n := 0
	if n < len(s) && strings.IndexByte("-:", s[n]) >= 0 {
		n++
	}
	if n < len(s) && strings.IndexByte("EO", s[n]) >= 0 {
		n++
	}
	return min(n+1, len(s))
}

// timeParts is the type of a timestamp taken apart, with one more attribute: the timestamp in the other notation.
func timeParts(other string, otherType cty.Type) cty.Type {
	return cty.Object(map[string]cty.Type{
		"year": cty.Number, "year_day": cty.Number, "day": cty.Number,
		"month": cty.Number, "month_name": cty.String,
		"weekday": cty.Number, "weekday_name": cty.String,
		"hour": cty.Number, "minute": cty.Number, "second": cty.Number,
		"iso_year": cty.Number, "iso_week": cty.Number,
		other: otherType,
	})
}

func takeApart(t time.Time, other string, otherValue cty.Value) cty.Value {
	isoYear, isoWeek := t.ISOWeek()
	num := func(n int) cty.Value { return cty.NumberIntVal(int64(n)) }
	return cty.ObjectVal(map[string]cty.Value{
		"year": num(t.Year()), "year_day": num(t.YearDay()), "day": num(t.Day()),
		"month": num(int(t.Month())), "month_name": cty.StringVal(t.Month().String()),
		"weekday": num(int(t.Weekday())), "weekday_name": cty.StringVal(t.Weekday().String()),
		"hour": num(t.Hour()), "minute": num(t.Minute()), "second": num(t.Second()),
		"iso_year": num(isoYear), "iso_week": num(isoWeek),
		other: otherValue,
	})
}

func parseRFC3339(args []cty.Value) (cty.Value, error) {
	s := args[0].AsString()
	normal := s
	if date := len(time.DateOnly); len(s) > date && s[date] == ' ' {
		normal = s[:date] + "T" + s[date+1:]
	}
	t, err := time.Parse(time.RFC3339, normal)
	if err != nil {
		return cty.NilVal, function.NewArgErrorf(0, "%q is not an RFC 3339 timestamp: %w", s, err)
	}
	return takeApart(t, "unix", cty.NumberIntVal(t.Unix())), nil
}

// parseUnixTimestamp accepts the years that RFC 3339 can write.
func parseUnixTimestamp(args []cty.Value) (cty.Value, error) {
	seconds, err := wholeArg(args, 0)
	if err != nil {
		return cty.NilVal, err
	}
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	if seconds.Cmp(big.NewInt(first)) < 0 || seconds.Cmp(big.NewInt(last)) > 0 {
		return cty.NilVal, function.NewArgErrorf(0, "timestamp %s is not between the years 0 and 9999", seconds)
	}
	t := time.Unix(seconds.Int64(), 0).UTC()
	return takeApart(t, "rfc3339", cty.StringVal(t.Format(time.RFC3339))), nil
}
