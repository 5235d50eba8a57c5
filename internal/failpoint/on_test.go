//go:build failpoints

package failpoint

import (
	"reflect"
	"strings"
	"testing"

	"ingot/internal/retry"
)

func TestParse(t *testing.T) {
	got, err := parse("journal.sync=kill, provider.create:3=error:capacity:no room: none,a=sleep:5ms,")
	want := []setting{
		{"journal.sync", 0, "kill"}, {"provider.create", 3, "error:capacity:no room: none"}, {"a", 0, "sleep:5ms"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, wrong := range []string{"kill", "a=", "=kill", "a:0=kill", "a:x=kill", "a=sleep:long", "a=dance"} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestReached(t *testing.T) {
	t.Setenv(Variable, "here:2=error:throttled:slow down,there=error:")
	var said []string
	for _, name := range []string{"here", "here", "here", "there", "elsewhere"} {
		err := Reached(name)
		if err == nil {
			said = append(said, "-")
			continue
		}
		said = append(said, retry.ClassOf(err).String()+" "+err.Error())
	}
	want := "-|throttled failpoint: slow down|-|unclassified failpoint: asked for at there|-"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
