package lint_test

import (
	"slices"
	"testing"

	"ingot/internal/lint"
)

// TestSuppressions: which comments suppress IMG101 or SH112, with what reason,
// and what is said of those that do not.
func TestSuppressions(t *testing.T) {
	image := func(before, behind string) string {
		return before + "source \"docker\" \"x\" {\n  image   = \"debian\"" + behind + "\n  discard = true\n}\n"
	}
	above := func(comment string) string {
		return "source \"docker\" \"x\" {\n" + comment + "  image   = \"debian\"\n  discard = true\n}\n"
	}
	for _, c := range []struct {
		name, text string
		active     []string
		reason     string
	}{
		{"none", image("", ""), []string{"IMG101"}, ""},
		{"same line", image("", " # ingot:ignore=IMG101 rebuilt daily"), nil, "rebuilt daily"},
		{"slashes", image("", " // ingot:ignore=IMG101 rebuilt daily"), nil, "rebuilt daily"},
		{"block comment", image("", " /* ingot:ignore=IMG101 rebuilt daily */"), nil, "rebuilt daily"},
		{"line above", above("  # ingot:ignore=IMG101 rebuilt daily\n"), nil, "rebuilt daily"},
		{"two comments above", above("  # ingot:ignore=IMG101 rebuilt daily\n  # another comment\n"), nil, "rebuilt daily"},
		{"several ids", above("  # ingot:ignore=img101,LNT101 rebuilt daily\n"), nil, "rebuilt daily"},
		{"without a reason", image("", " # ingot:ignore=IMG101"), nil, ""},
		{"empty line between", above("  # ingot:ignore=IMG101\n\n"), []string{"IMG101", "LNT101"}, ""},
		{"line below", image("", "\n  # ingot:ignore=IMG101"), []string{"IMG101", "LNT101"}, ""},
		{"other rule", image("", " # ingot:ignore=SH101"), []string{"IMG101", "LNT101"}, ""},
		{"unknown rule", image("", " # ingot:ignore=IMG1"), []string{"IMG101", "LNT102"}, ""},
		{"file", image("# ingot:ignore-file=IMG101 rebuilt daily\n\n", ""), nil, "rebuilt daily"},
		{"file, at its end", image("", "") + "# ingot:ignore-file=IMG101 rebuilt daily\n", nil, "rebuilt daily"},
		{"not a comment", image("# see ingot: ignore=IMG101\n", ""), []string{"IMG101"}, ""},
		{"inside a here-document", "provisioner \"shell\" {\n  inline = [<<-EOT\n    true\n    # ingot:ignore=SH112 shared on purpose\n    chmod 777 /srv\n  EOT\n  ]\n}\n", nil, "shared on purpose"},
		{"another line of a here-document", "provisioner \"shell\" {\n  inline = [<<-EOT\n    # ingot:ignore=SH112 shared on purpose\n    true\n    chmod 777 /srv\n  EOT\n  ]\n}\n", []string{"LNT101", "SH112"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := lintFiles(t, example{"image.pkr.hcl": c.text}.frame())
			if got := idsOf(r); !slices.Equal(got, c.active) {
				t.Errorf("reported are %v, want %v", got, c.active)
			}
			for _, f := range r.Findings {
				if f.Suppressed && f.Reason != c.reason {
					t.Errorf("the reason is %q, want %q", f.Reason, c.reason)
				}
			}
			if c.active == nil && !slices.ContainsFunc(r.Findings, func(f lint.Finding) bool { return f.Suppressed }) {
				t.Error("nothing was suppressed")
			}
		})
	}
}

func TestSuppressionInScript(t *testing.T) {
	files := example{"setup.sh": "#!/bin/sh\nset -e\nchmod 777 /srv # ingot:ignore=SH112 shared on purpose\nchmod 777 /opt\n"}.frame()
	r := lintFiles(t, files)
	if active := r.Active(); len(active) != 1 || active[0].Range.Start.Line != 4 || len(r.Findings) != 2 {
		t.Errorf("findings are %v", r.Findings)
	}
}

// TestSuppressionInJSON: a comment holds for the object that it is in, at the
// top for the file.
func TestSuppressionInJSON(t *testing.T) {
	for _, c := range []struct {
		name, text string
		active     int
	}{
		{"none", `{"source": {"docker": {"x": {"image": "debian", "discard": true},` + "\n" + `"y": {"image": "debian", "discard": true}}}}`, 2},
		{"one", `{"source": {"docker": {"x": {"//": "ingot:ignore=IMG101 why", "image": "debian", "discard": true},` + "\n" + `"y": {"image": "debian", "discard": true}}}}`, 1},
		{"all", `{"//": "ingot:ignore=IMG101 why", "source": {"docker": {"x": {"image": "debian", "discard": true},` + "\n" + `"y": {"image": "debian", "discard": true}}}}`, 0},
		{"list", `{"//": ["a comment", "ingot:ignore=IMG101 why"], "source": {"docker": {"x": {"image": "debian", "discard": true}}}}`, 0},
		{"not a comment", `{"source": {"docker": {"x": {"image": "debian", "discard": true, "author": "ingot:ignore=IMG101"}}}}`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := lintFiles(t, map[string]string{"image.pkr.json": c.text})
			n := 0
			for _, f := range r.Active() {
				if f.Rule.ID == "IMG101" {
					n++
				}
			}
			if n != c.active || len(r.Active()) != c.active {
				t.Errorf("reported are %v", idsOf(r))
			}
		})
	}
}

// TestChoices: only what was asked for is reported, and nobody complains about
// suppressions of rules that were left out.
func TestChoices(t *testing.T) {
	files := map[string]string{"image.pkr.hcl": "source \"docker\" \"x\" {\n  image = \"debian\"\n  # ingot:ignore=SH101\n  login_password = \"hunter2\"\n}\n"}
	dir := writeFiles(t, files)
	for _, c := range []struct {
		name string
		o    lint.Options
		want []string
	}{
		{"all", lint.Options{}, []string{"IMG101", "LNT101", "SEC101"}},
		{"only", lint.Options{Only: []string{"IMG101", "LNT101"}}, []string{"IMG101"}},
		{"without", lint.Options{Disable: []string{"SEC101", "SH101"}}, []string{"IMG101"}},
		{"warnings", lint.Options{MinSeverity: 2}, []string{"IMG101", "SEC101"}},
		{"errors", lint.Options{MinSeverity: 1}, []string{"SEC101"}},
	} {
		if got := idsOf(lintDir(t, dir, c.o)); !slices.Equal(got, c.want) {
			t.Errorf("%s: reported are %v, want %v", c.name, got, c.want)
		}
	}
}
