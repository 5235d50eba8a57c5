package funcs

import (
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/zclconf/go-cty/cty"
)

var datetimeCases = map[string][]evalCase{
	"formatdate": {
		{`formatdate("YYYY-MM-DD'T'hh:mm:ssZZZZZ", "2018-01-02T23:12:01+02:00")`, `"2018-01-02T23:12:01+02:00"`},
		{`formatdate("EEEE, DD-MMM-YY HH:mm AA ZZZ", "2018-01-02T23:12:01Z")`, `"Tuesday, 02-Jan-18 11:12 PM UTC"`},
		{`formatdate("D MMMM M h H aa m s ZZZZ Z EEE ''", "2018-01-02T03:02:01Z")`, `"2 January 1 3 3 am 2 1 +0000 Z Tue '"`},
		{`formatdate("x", "2018-01-02T03:02:01Z")`, `error: invalid date format verb "x"`},
		{`formatdate("YYYY", "2018")`, `error: not a valid RFC3339 timestamp`},
	},
	"timeadd": {
		{`timeadd("2017-11-22T00:00:00Z", "10m")`, `"2017-11-22T00:10:00Z"`},
		{`timeadd("2017-11-22T00:00:00Z", "-24h")`, `"2017-11-21T00:00:00Z"`},
		{`timeadd("2017-11-22", "1h")`, `error: not a valid RFC3339 timestamp`},
		{`timeadd("2017-11-22T00:00:00Z", "1x")`, `error: unknown unit "x"`},
	},
	"timestamp": {{`timestamp()`, `"2024-02-29T12:04:05Z"`}, {`timestamp(1)`, `error: Too many function arguments`}},
	"legacy_isotime": {
		{`legacy_isotime()`, `"2024-02-29T12:04:05Z"`},
		{`legacy_isotime("2006-01-02 Mon")`, `"2024-02-29 Thu"`},
		{`legacy_isotime("")`, `""`},
		{`legacy_isotime("a", "b")`, `error: at most one layout, not 2`},
		{`legacy_isotime(unknown_string)`, `unknown_string`},
	},
	"legacy_strftime": {
		{`legacy_strftime("%Y-%m-%d %H:%M:%S")`, `"2024-02-29 12:04:05"`},
		{`legacy_strftime("%A %a %B %b %h %C %D %e|%F %I %j %k|%l|%p %R %r %T %u %w %V %v %y %Z %z %%%n%t")`,
			`"Thursday Thu February Feb Feb 20 02/29/24 29|2024-02-29 12 060 12|12|PM 12:04 12:04:05 PM 12:04:05 4 4 09 29-Feb-2024 24 UTC +0000 %\n\t"`},
		{`legacy_strftime("%Ey %-d %:z")`, `"24 29 +00:00"`},
		{`legacy_strftime("%E")`, `error: has the unknown verb "%E"`},
		{`legacy_strftime("%EA")`, `error: has the unknown verb "%EA"`},
		{`legacy_strftime("plain")`, `"plain"`},
		{`legacy_strftime("%Y %!")`, `error: format "%Y %!" has the unknown verb "%!"`},
		{`legacy_strftime("100%")`, `error: has the unknown verb "%"`},
		{`legacy_strftime("%-i")`, `error: has the unknown verb "%-i"`},
	},
	"rfc3339_parse": {
		{`rfc3339_parse("2024-12-30T13:04:05.5+02:00")`, `{
			year = 2024, year_day = 365, day = 30, month = 12, month_name = "December", weekday = 1, weekday_name = "Monday",
			hour = 13, minute = 4, second = 5, unix = 1735556645, iso_year = 2025, iso_week = 1,
		}`},
		{`rfc3339_parse("2024-12-30 13:04:05Z").hour`, `13`},
		{`rfc3339_parse("2024-12-30")`, `error: "2024-12-30" is not an RFC 3339 timestamp`},
		{`rfc3339_parse("")`, `error: "" is not an RFC 3339 timestamp`},
		{`rfc3339_parse("2024-02-30T00:00:00Z")`, `error: day out of range`},
		{`rfc3339_parse(unknown_string).hour`, `unknown_number`},
	},
	"unix_timestamp_parse": {
		{`unix_timestamp_parse(1735556645)`, `{
			year = 2024, year_day = 365, day = 30, month = 12, month_name = "December", weekday = 1, weekday_name = "Monday",
			hour = 11, minute = 4, second = 5, rfc3339 = "2024-12-30T11:04:05Z", iso_year = 2025, iso_week = 1,
		}`},
		{`unix_timestamp_parse("0").rfc3339`, `"1970-01-01T00:00:00Z"`},
		{`unix_timestamp_parse(-1).rfc3339`, `"1969-12-31T23:59:59Z"`},
		{`unix_timestamp_parse(0.5)`, `error: 0.5 is not a whole number`},
		{`unix_timestamp_parse("now")`, `error: a number is required`},
		{`unix_timestamp_parse(1e12)`, `error: timestamp 1000000000000 is not between the years 0 and 9999`},
		{`unix_timestamp_parse(1e30)`, `error: is not between the years`},
	},
}

// Ensure each evaluation of timestamp reads the clock, while the start of the program stays what it was.
// TestW58TimestampIsThatOfTheRun: everything in a run that shows the time shows the same one.
func TestW58TimestampIsThatOfTheRun(t *testing.T) {
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, env := range []Env{{Start: start}, {}} {
		table := Table(env)
		var seen []string
		for _, expr := range []string{`timestamp()`, `legacy_isotime()`, `legacy_strftime("%Y-%m-%dT%H:%M:%SZ")`} {
			v, err := eval(table, expr)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, v.AsString())
		}
		if seen[0] != seen[1] || seen[1] != seen[2] || !env.Start.IsZero() && seen[0] != "2025-01-01T00:00:00Z" {
			t.Errorf("got %s", strings.Join(seen, " "))
		}
	}
}

// TestW58UnixTimestampParseTakesStrings, as Packer's changelog promises.
func TestW58UnixTimestampParseTakesStrings(t *testing.T) {
	runCases(t, Table(Env{}), map[string][]evalCase{"strings": {
		{`unix_timestamp_parse("1735556645") == unix_timestamp_parse(1735556645)`, `true`},
		{`unix_timestamp_parse("${60 * 60}").hour`, `1`},
	}})
}

func TestParsersAgree(t *testing.T) {
	table := Table(Env{})
	property := func(seconds uint32) bool {
		fromUnix, err := table["unix_timestamp_parse"].Call([]cty.Value{cty.NumberUIntVal(uint64(seconds))})
		if err != nil {
			return false
		}
		fromText, err := table["rfc3339_parse"].Call([]cty.Value{fromUnix.GetAttr("rfc3339")})
		if err != nil || !fromText.GetAttr("unix").RawEquals(cty.NumberUIntVal(uint64(seconds))) {
			return false
		}
		for name := range fromText.Type().AttributeTypes() {
			if name != "unix" && !fromText.GetAttr(name).RawEquals(fromUnix.GetAttr(name)) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
