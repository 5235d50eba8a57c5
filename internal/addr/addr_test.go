package addr

import "testing"

func TestParseSource(t *testing.T) {
	for in, want := range map[string]Source{
		"null.a":        {"null", "a"},
		"source.null.a": {"null", "a"},
	} {
		got, err := ParseSource(in)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
		if again, err := ParseSource(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive being printed: %v, %v", in, again, err)
		}
	}
	for _, in := range []string{"", "null", ".a", "null.", "a.b.c", "source.null", "source.source.a.b"} {
		if got, err := ParseSource(in); err == nil {
			t.Errorf("%q was taken for %v", in, got)
		}
	}
}

func TestBuildNames(t *testing.T) {
	src := Source{"docker", "web"}
	for _, c := range []struct {
		build        Build
		name, string string
	}{
		{Build{Source: src}, "docker.web", "docker.web"},
		{Build{Block: "app", Source: src}, "app.docker.web", "app.docker.web"},
		{Build{Block: "app", Source: src, Ordinal: 2}, "app.docker.web", "app.docker.web#2"},
	} {
		if c.build.Name() != c.name || c.build.String() != c.string {
			t.Errorf("%+v: %s, %s", c.build, c.build.Name(), c.build)
		}
	}
	if !(Build{}).IsZero() || (Build{Source: src}).IsZero() {
		t.Error("only the zero build is zero")
	}
}

// Ensure that steps of one build never share a text.
func TestStepsAreTold(t *testing.T) {
	seen := map[string]Step{}
	for _, s := range []Step{
		{}, {Kind: Provisioner, Type: "shell"}, {Kind: Provisioner, Index: 1, Type: "shell"}, {Kind: ErrorCleanup, Type: "shell"},
		{Kind: PostProcessor, Type: "manifest"}, {Kind: PostProcessor, Chain: 1, Type: "manifest"}, {Kind: PostProcessor, Index: 1, Type: "manifest"},
	} {
		if other, taken := seen[s.String()]; taken {
			t.Errorf("%+v and %+v are both %q", s, other, s)
		}
		seen[s.String()] = s
	}
	if s := (Step{Kind: Provisioner, Type: "shell", Name: "install"}); s.Label() != "install" || (Step{Type: "shell"}).Label() != "shell" {
		t.Errorf("label of %+v is %q", s, s.Label())
	}
}

// Ensure that a step's text leads back to the step, and others to an error.
func TestParseStep(t *testing.T) {
	for _, want := range []Step{
		{Kind: Provisioner, Type: "shell"}, {Kind: Provisioner, Index: 12, Type: "a.b[c]"}, {Kind: Check, Chain: 2, Index: 3, Type: "shell"}, {Kind: ErrorCleanup, Type: "shell-local"},
		{Kind: PostProcessor, Chain: 2, Index: 1, Type: "manifest"},
	} {
		if got, err := ParseStep(want.String()); err != nil || got != want {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
	}
	for _, in := range []string{
		"", "provisioner", "provisioner[", "provisioner[0]", "provisioner[0].", "provisioner[x].shell", "provisioner[-1].shell",
		"provisioner[99999999999].shell", "post-processor[0].manifest", "post-processor[0]x[1].manifest", "builder[0].null", "provisioner[0]shell",
	} {
		if got, err := ParseStep(in); err == nil {
			t.Errorf("%q was taken for %+v", in, got)
		}
	}
}
