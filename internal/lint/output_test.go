package lint_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"ingot/internal/diag"
	"ingot/internal/lint"
)

// everyForm is a result as text, as JSON and as SARIF.
func everyForm(t testing.TB, r *lint.Result) (text, asJSON, asSARIF string) {
	t.Helper()
	var list diag.List
	for _, f := range r.Active() {
		list = append(list, f.Diagnostic())
	}
	var a, b, c strings.Builder
	if err := diag.Format(&a, list, r.Sources, diag.FormatOptions{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteSARIF(&c, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String(), c.String()
}

// TestSecretsAreNotShown puts the same secret wherever a rule finds one, with
// another finding on the same line where that is possible.
func TestSecretsAreNotShown(t *testing.T) {
	const secret, key = "hunter2Zx9", "AKIAQWERTYUIOPASDFGH"
	files := map[string]string{
		"image.pkr.hcl": `
variable "db_password" { default = "` + secret + `" }
variable "hidden" {
  sensitive = true
  default   = <<EOT
` + secret + `
EOT
}
locals { pw = "` + secret + `" }
source "vsphere-iso" "a" {
  password     = "` + secret + `"
  ssh_password = "` + secret + `"
}
source "docker" "b" {
  image          = "debian"
  login_password = local.pw
  changes        = ["ENV API_TOKEN=` + secret + `"]
}
source "null" "c" {
  access_key = "` + key + `"
}
build {
  sources = ["docker.b"]
  provisioner "shell" {
    environment_vars = ["DB_PASSWORD=` + secret + `"]
    execute_command  = "echo '` + secret + `' | sudo -S sh {{.Path}}"
    inline = [
      "curl -k -u bob:` + secret + ` https://x.example/ > x; chmod 777 x",
      "echo 'root:` + secret + `' | chpasswd; apt-get install x",
      "mysql -p` + secret + ` -e 'x'",
      "git clone https://bob:` + secret + `@git.example.com/x",
      "docker login -u bob -p ` + secret + `; vim x",
    ]
  }
  provisioner "shell" { script = "s.sh" }
}
`,
		"s.sh": "sshpass -p " + secret + " ssh x\nexport K=" + key + "; chmod 777 x\n-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n-----END RSA PRIVATE KEY-----\n",
	}
	r := lintFiles(t, files)
	if len(r.Findings) < 20 {
		t.Fatalf("only %d findings: %v", len(r.Findings), idsOf(r))
	}
	text, asJSON, asSARIF := everyForm(t, r)
	for name, out := range map[string]string{"text": text, "JSON": asJSON, "SARIF": asSARIF} {
		for _, s := range []string{secret, key} {
			if i := strings.Index(out, s); i >= 0 {
				t.Errorf("%s shows %q: ...%s...", name, s, out[max(0, i-200):min(len(out), i+80)])
			}
		}
	}
	if strings.Contains(text, secret[:6]) {
		t.Errorf("part of the secret is shown:\n%s", text)
	}
}

// TestSARIF checks what consumers rely on: required members, indexes that
// match, places that start at 1, relative addresses.
func TestSARIF(t *testing.T) {
	files := map[string]string{
		"a b.pkr.hcl": "# ingot:ignore-file=TPL101 kept\nvariable \"unused\" {}\nsource \"docker\" \"x\" {\n  image = \"debian\"\n  image_user = \"x\"\n}\nbuild {\n  sources = [\"docker.x\"]\n  provisioner \"shell\" { script = \"s.sh\" }\n}\n",
		"s.sh":        "a\nb\n",
	}
	_, _, out := everyForm(t, lintFiles(t, files))
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID, Name         string
						ShortDescription struct{ Text string }
						Help             struct{ Text, Markdown string }
						Default          struct{ Level string } `json:"defaultConfiguration"`
					}
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					Physical struct {
						Artifact struct{ URI, URIBaseID string }
						Region   struct{ StartLine, StartColumn, EndLine, EndColumn int }
					} `json:"physicalLocation"`
				}
				Fingerprints map[string]string `json:"partialFingerprints"`
				Suppressions []struct{ Kind, Justification string }
			}
		}
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(out, `"artifactLocation"`, `"Artifact"`)), &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("version %q, %d runs", log.Version, len(log.Runs))
	}
	run := log.Runs[0]
	if len(run.Tool.Driver.Rules) != len(lint.Rules()) {
		t.Errorf("%d rules are described, want %d", len(run.Tool.Driver.Rules), len(lint.Rules()))
	}
	suppressed := 0
	prints := map[string]bool{}
	for _, res := range run.Results {
		if got := run.Tool.Driver.Rules[res.RuleIndex]; got.ID != res.RuleID || got.Default.Level != res.Level || got.ShortDescription.Text == "" {
			t.Errorf("%s has the index of %s", res.RuleID, got.ID)
		}
		if res.Message.Text == "" || len(res.Locations) != 1 {
			t.Errorf("%s has the message %q and %d places", res.RuleID, res.Message.Text, len(res.Locations))
			continue
		}
		p := res.Locations[0].Physical
		if u, err := url.Parse(p.Artifact.URI); err != nil || u.IsAbs() || strings.Contains(p.Artifact.URI, " ") {
			t.Errorf("%s is at %q", res.RuleID, p.Artifact.URI)
		}
		if p.Region.StartLine < 1 || p.Region.StartColumn < 1 || p.Region.EndLine < p.Region.StartLine {
			t.Errorf("%s is at %+v", res.RuleID, p.Region)
		}
		for _, print := range res.Fingerprints {
			if prints[print] {
				t.Errorf("%s has the fingerprint of another", res.RuleID)
			}
			prints[print] = true
		}
		for _, s := range res.Suppressions {
			suppressed++
			if s.Kind != "inSource" || s.Justification != "kept" {
				t.Errorf("suppression %+v", s)
			}
		}
	}
	if suppressed != 1 || len(run.Results) < 3 {
		t.Errorf("%d of %d results are suppressed, want 1", suppressed, len(run.Results))
	}
}

// TestFingerprintsStay: a finding is known again when lines are added above.
func TestFingerprintsStay(t *testing.T) {
	text := "source \"docker\" \"x\" {\n  image = \"debian\"\n}\n"
	print := func(text string) string {
		_, _, out := everyForm(t, lintFiles(t, map[string]string{"a.pkr.hcl": text}))
		_, rest, _ := strings.Cut(out, `"ruleAndLine/v1": "`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	before, after := print(text), print("# a comment\n\n"+text)
	if before == "" || before != after {
		t.Errorf("the fingerprint was %q and is %q", before, after)
	}
	if changed := print(strings.ReplaceAll(text, "debian", "ubuntu")); changed == before {
		t.Errorf("the fingerprint of another line is the same: %q", changed)
	}
}

// TestJSONTemplates: rules work on templates in JSON, where blocks are
// objects.
func TestJSONTemplates(t *testing.T) {
	text := `{
  "source": {"amazon-ebs": {"x": {
    "ami_name": "web",
    "secret_key": "hunter2hunter2",
    "source_ami_filter": {"filters": {"name": "x*"}},
    "launch_block_device_mappings": [{"device_name": "a", "volume_type": "gp2"}]
  }}},
  "build": {"sources": ["amazon-ebs.x"], "provisioner": [{"shell": {"inline": ["apt-get install nginx"]}}]}
}`
	got := strings.Join(idsOf(lintFiles(t, map[string]string{"a.pkr.json": text})), " ")
	for _, id := range []string{"CLD102", "SEC101", "IMG102", "COST103", "COST104", "SH104", "SH105", "NET101", "PLG101"} {
		if !strings.Contains(got, id) {
			t.Errorf("%s is not among %s", id, got)
		}
	}
}
