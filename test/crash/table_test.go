package crash

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/testkit/fakecloud"
)

// What is lost, and who puts it right.
const (
	lostIngot     = "ingot; `reap`"
	lostWatched   = "ingot; its watchdog"
	lostWatchdog  = "the watchdog; the build goes on"
	lostBoth      = "watchdog and ingot; `reap`"
	lostGroup     = "the group of processes; the watchdog"
	lostPower     = "power, with all that was not synced; `reap`"
	lostPowerTorn = "power, with half of what was not synced; `reap`"
	lostInReap    = "power during the `reap`; the next one"
	lostAfter     = "power, after this: "
)

// When.
const (
	atRecord   = "before and after every journal record"
	atBefore   = "before every journal record"
	atThird    = "before every third journal record"
	atAfter    = "after every journal record"
	atProvider = "around every thing made or removed, and every request"
	atAnswer   = "while the engine answers"
	atRandom   = "moments spread over the run"
	atDisk     = "at every write, sync and removal of the journal"
	atSync     = "at every sync of the journal"
	atStep     = "at every write, sync, request and answer"
	atCall     = "every call, once and each time"
)

const (
	inCIAll  = "all"
	reliable = "../../docs/reliability.md"
)

// row is a row of the table in docs/reliability.md.
type tableRow struct {
	cell
	// ci is how much of it each run of the tests does.
	ci string
}

// tableRows are all rows, in order.
func tableRows() []tableRow {
	var out []tableRow
	add := func(builder, lost, at string, parts int) {
		ci := inCIAll
		if parts > 1 {
			ci = fmt.Sprintf("1/%d", parts)
		}
		out = append(out, tableRow{cell{builder, lost, at}, ci})
	}
	const cloud = "fake cloud"
	add(cloud, lostPower, atStep, 1)
	add(cloud, lostPowerTorn, atStep, 1)
	add(cloud, lostInReap, atStep, 1)
	for _, m := range fakecloud.Mishaps() {
		add(cloud, string(m), atCall, 1)
	}
	for _, m := range fakecloud.Mishaps() {
		add(cloud, lostAfter+string(m), atStep, mishapParts)
	}
	processes := func(builder string, parts int) {
		add(builder, lostIngot, atProvider, parts)
		for _, lost := range []string{lostWatched, lostWatchdog, lostBoth, lostGroup} {
			add(builder, lost, atAfter, parts)
		}
		add(builder, lostPower, atDisk, parts)
		add(builder, lostPowerTorn, atSync, parts)
	}
	processes(cloud+", as a program", matrixParts)
	for _, builder := range []string{"docker", "oci"} {
		add(builder, lostIngot, atRecord, 1)
		if builder == "docker" {
			add(builder, lostIngot, atAnswer, 1)
		}
		add(builder, lostIngot, atRandom, 1)
		processes(builder, matrixParts)
	}
	for _, at := range []string{atThird, atAnswer, atRandom} {
		add("docker step cache", lostIngot, at, 1)
	}
	add("oci cached", lostIngot, atAfter, 1)
	add("oci cached", lostIngot, atRandom, 1)
	add("qemu", lostIngot, atBefore, 1)
	add("qemu", lostIngot, atRandom, 1)
	processes("qemu", guestParts)
	return out
}

// In how many parts the long sweeps are done.
const (
	mishapParts = 4
	matrixParts = 12
	guestParts  = 48
)

var update = flag.Bool("update", false, "write what was swept into docs/reliability.md; wants "+partVariable+"=all")

// builtIn is the folder of the program that the tests have built, "" for none.
var builtIn string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	if *update && code == 0 {
		if err := writeTable(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const (
	tableBegin = "<!-- This table is written by the tests in test/crash; see below. -->\n"
	tableEnd   = "<!-- The end of the table. -->\n"
	tableHead  = "| builder | lost or broken; who puts it right | when | crashes | of them with something left to remove | clean | in each run of the tests | swept in full |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
)

func (r tableRow) key() string { return fmt.Sprintf("| %s | %s | %s |", r.builder, r.lost, r.at) }

// writeTable replaces the rows that were swept.
func writeTable() error {
	if os.Getenv(partVariable) != "all" {
		return fmt.Errorf("-update wants %s=all: the table is about whole sweeps", partVariable)
	}
	text, err := os.ReadFile(reliable)
	if err != nil {
		return err
	}
	before, table, after, err := splitTable(string(text))
	if err != nil {
		return err
	}
	out := tableHead
	for _, r := range tableRows() {
		line := r.key() + " not yet | | | " + r.ci + " | |"
		for old := range strings.Lines(table) {
			if strings.HasPrefix(old, r.key()) {
				line = strings.TrimRight(old, "\n")
			}
		}
		if s, ok := tally.by[r.cell]; ok {
			line = fmt.Sprintf("%s %d | %d | %d | %s | %s |", r.key(), s.crashes, s.left, s.clean, r.ci, time.Now().UTC().Format(time.DateOnly))
		}
		out += line + "\n"
	}
	return os.WriteFile(reliable, []byte(before+tableBegin+out+tableEnd+after), 0o644)
}

func splitTable(text string) (before, table, after string, err error) {
	before, rest, ok := strings.Cut(text, tableBegin)
	table, after, ended := strings.Cut(rest, tableEnd)
	if !ok || !ended {
		return "", "", "", fmt.Errorf("%s has no table between its marks", reliable)
	}
	return before, table, after, nil
}

// TestReliabilityTable: the document has the rows that the tests have, and each was
// swept in full and found clean.
func TestReliabilityTable(t *testing.T) {
	text, err := os.ReadFile(reliable)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _, err := splitTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(strings.TrimPrefix(table, tableHead)), "\n")
	rows := tableRows()
	if len(lines) != len(rows) {
		t.Errorf("the table has %d rows, the tests have %d", len(lines), len(rows))
	}
	for i, r := range rows[:min(len(rows), len(lines))] {
		values, ok := strings.CutPrefix(lines[i], r.key())
		fields := strings.Split(values, "|")
		if !ok || len(fields) != 6 {
			t.Errorf("row %d is %s, want %s ...", i+1, lines[i], r.key())
			continue
		}
		for n := range fields {
			fields[n] = strings.TrimSpace(fields[n])
		}
		if n, err := strconv.Atoi(fields[0]); err != nil || n < 1 || fields[2] != fields[0] {
			t.Errorf("%s %s crashes, %s clean: sweep it in full with `make crash`", r.key(), fields[0], fields[2])
		}
		if _, err := time.Parse(time.DateOnly, fields[4]); err != nil || fields[3] != r.ci {
			t.Errorf("%s in each run %q, swept %q; want %q and a date", r.key(), fields[3], fields[4], r.ci)
		}
	}
}

// known reports whether the table has a row for a crash.
func known(c cell) bool {
	return slices.ContainsFunc(tableRows(), func(r tableRow) bool { return r.cell == c })
}
