package bootcmd

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// show writes actions so that a table can be read.
func show(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch a.Kind {
		case Tap:
			out = append(out, a.Key.String())
		case Press:
			out = append(out, "+"+a.Key.String())
		case Release:
			out = append(out, "-"+a.Key.String())
		case Wait:
			out = append(out, a.For.String())
		case Expect:
			out = append(out, "/"+a.Pattern.String()+"/")
		}
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"aB1":                          "a B 1",
		"<wait><wait5><wait1m20s>":     "1s 5s 1m20s",
		"<wait500ms>x":                 "500ms x",
		"<Enter><RETURN><pageDown>":    "<enter> <enter> <pagedown>",
		"<leftCtrlOn>c<leftCtrlOff>":   "+<leftctrl> c -<leftctrl>",
		"<aOn><AOFF><éon>":             "+a -A +é",
		"<onOn>":                       "< o n O n >",
		"<leftCommand><rightOptionOn>": "<leftsuper> +<rightalt>",
		"<Wait>":                       "< W a i t >",
		"<foo>":                        "< f o o >",
		"a<b":                          "a < b",
		"<<on>x":                       "+< x",
		"<>on>":                        "+>",
		"<>":                           "< >",
		"<":                            "<",
		"<expect login:>a":             "/(?m)login:/ a",
		`<expect ^a\x3e$><Expect b>`:   `/(?m)^a\x3e$/ < E x p e c t   b >`,
		"<expect>":                     "< e x p e c t >",
		"a\nb\tc\r":                    "a <enter> b <tab> c <enter>",
		"<waitabc>":                    "< w a i t a b c >",
		"":                             "",
	} {
		got, err := Parse(text)
		if err != nil || show(got.Actions) != want {
			t.Errorf("%q: %s, %v; want %s", text, show(got.Actions), err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"<wait0>", "<wait-5>", "<wait0s>", "<wait-1m>", "a\xff", "<expect (>", "<expect .*>", "<expect >"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q was taken for %s", text, show(got.Actions))
		}
	}
}

func TestMisspelledKeysAreNoted(t *testing.T) {
	got, err := Parse("<entr><entr><f13><b><a b><!><wait10s>")
	if err != nil || !reflect.DeepEqual(got.Literal, []string{"<entr>", "<f13>"}) {
		t.Errorf("%q, %v", got.Literal, err)
	}
	if got.Waits() != 10*time.Second {
		t.Errorf("waits %s", got.Waits())
	}
}

// Rows that are a character short would give every later key the wrong one.
func TestRowsOfLayouts(t *testing.T) {
	for _, l := range layouts {
		for level, row := range map[string]string{"plain": l.plain, "shift": l.shift, "AltGr": l.altGr} {
			if n := utf8.RuneCountInString(row); n != len(places) && (n != 0 || level != "AltGr") {
				t.Errorf("%s %s: %d characters for %d keys", l.name, level, n, len(places))
			}
		}
	}
}

func TestStrokes(t *testing.T) {
	for _, c := range []struct {
		layout, char string
		want         []Stroke
	}{
		{"us", "a", []Stroke{{"a", false, false}}},
		{"us", "A", []Stroke{{"a", true, false}}},
		{"us", "~", []Stroke{{"grave_accent", true, false}}},
		{"us", "|", []Stroke{{"backslash", true, false}}},
		{"us", " ", []Stroke{{"spc", false, false}}},
		{"us", "?", []Stroke{{"slash", true, false}}},
		{"gb", `"`, []Stroke{{"2", true, false}}},
		{"gb", `\`, []Stroke{{"less", false, false}}},
		{"gb", "#", []Stroke{{"backslash", false, false}}},
		{"de", "z", []Stroke{{"y", false, false}}},
		{"de", "-", []Stroke{{"slash", false, false}}},
		{"de", "/", []Stroke{{"7", true, false}}},
		{"de", "@", []Stroke{{"q", false, true}}},
		{"de", "~", []Stroke{{"bracket_right", false, true}}},
		{"de", "|", []Stroke{{"less", false, true}}},
		{"de", "^", []Stroke{{"grave_accent", false, false}, {Code: "spc"}}},
		{"fr", "a", []Stroke{{"q", false, false}}},
		{"fr", "1", []Stroke{{"1", true, false}}},
		{"fr", "m", []Stroke{{"semicolon", false, false}}},
		{"fr", ".", []Stroke{{"comma", true, false}}},
		{"fr", "\\", []Stroke{{"8", false, true}}},
		{"fr", "^", []Stroke{{"9", false, true}}},
		{"fr", "_", []Stroke{{"8", false, false}}},
	} {
		l, err := LayoutNamed(c.layout)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Strokes([]rune(c.char)[0])
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %v, %v; want %v", c.layout, c.char, got, err, c.want)
		}
	}
}

// Whatever an installer is told in ASCII can be typed on every layout.
func TestLayoutsHaveAllOfASCII(t *testing.T) {
	for _, name := range Layouts() {
		l, err := LayoutNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		for r := rune(' '); r < 0x7f; r++ {
			if _, err := l.Strokes(r); err != nil {
				t.Error(err)
			}
		}
		if _, err := l.Strokes('語'); err == nil {
			t.Errorf("%s has a key for an ideograph", name)
		}
	}
	if _, err := LayoutNamed("dvorak"); err == nil || !strings.Contains(err.Error(), "de, fr, gb, us") {
		t.Errorf("unknown layout: %v", err)
	}
}

// Nothing of a text is lost: what is typed, written again, reads the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"<wait5>a<enter><leftAltOn>x<leftAltOff>", "<<on><>on>", "é<f1><", "<waitfoo>", "<expect a|b>c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if len(c.Actions) > len(text) {
			t.Fatalf("%d actions from %d bytes", len(c.Actions), len(text))
		}
		for _, a := range c.Actions {
			switch {
			case a.Kind == Wait && (a.For <= 0 || a.Key != Key{}):
				t.Fatalf("wait: %+v", a)
			case a.Kind == Expect && (a.Pattern == nil || a.Key != Key{}):
				t.Fatalf("expect: %+v", a)
			case a.Kind != Wait && a.Kind != Expect && a.Key.Special == "" && !utf8.ValidRune(a.Key.Char):
				t.Fatalf("key: %+v", a)
			case a.Key.Special != "" && Code(a.Key.Special) == "":
				t.Fatalf("no code for %s", a.Key.Special)
			}
		}
	})
}
