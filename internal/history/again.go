package history

import "time"

// Again is what it takes to take a run up again.
type Again struct {
	// Flags are those of the command line that decide what is built, as one would
	// type them, with the values of variables that are not secret.
	Flags []string `json:"flags,omitempty"`
	// Secret are the names of the variables whose values are not recorded, and
	// Environ of the settings in the environment that gave variables a value.
	Secret  []string `json:"secret,omitempty"`
	Environ []string `json:"environ,omitempty"`
	// Clock is the time that the run took for the present.
	Clock time.Time `json:"clock"`
	// Cached says that machines were saved.
	Cached bool `json:"cached,omitempty"`
	// Resumes is the run that this one has taken up.
	Resumes string `json:"resumes,omitempty"`
	// Inputs are what the builds depend on, by their names.
	Inputs map[string][]Input `json:"inputs,omitempty"`
	// Obstacle says why the run cannot be taken up, as a clause; "" when it can.
	Obstacle string `json:"obstacle,omitempty"`
}

// Input is something that a build depends on, and a digest of it.
type Input struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// masked returns a copy whose texts went through redact. What has a secret in it
// cannot be told from what has not once it is masked: where it matters, the run
// cannot be taken up.
func (a *Again) masked(redact func(string) string) *Again {
	if a == nil {
		return nil
	}
	out := *a
	clean := func(list []string, what string) []string {
		kept := make([]string, 0, len(list))
		for _, s := range list {
			if redact(s) != s {
				out.Obstacle = what + " has a secret in it, which is not recorded"
				continue
			}
			kept = append(kept, s)
		}
		return kept
	}
	out.Flags = clean(a.Flags, "its command line")
	out.Secret = clean(a.Secret, "the name of a variable")
	out.Environ = clean(a.Environ, "the name of a variable")
	out.Inputs = make(map[string][]Input, len(a.Inputs))
	for build, list := range a.Inputs {
		masked := make([]Input, len(list))
		for i, in := range list {
			masked[i] = Input{Name: redact(in.Name), Digest: in.Digest}
		}
		out.Inputs[build] = masked
	}
	return &out
}

// Obstacle says why a run with this header cannot be taken up once its texts have gone
// through redact; "" when it can.
func (h Header) Obstacle(redact func(string) string) string {
	if h = h.masked(redact); h.Again != nil {
		return h.Again.Obstacle
	}
	return ""
}

// CanResume reports whether the run has something left to do, and can be taken up.
func (s Summary) CanResume() bool { return canResume(s.Header, s.Result) }

// CanResume reports whether the run has something left to do, and can be taken up.
func (r *Run) CanResume() bool { return canResume(r.Header, r.Result) }

func canResume(h Header, r Result) bool {
	return h.Again != nil && h.Again.Obstacle == "" && (r == Failed || r == Interrupted || r == Killed)
}
