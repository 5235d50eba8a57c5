package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/diag"
)

// The parts of SARIF 2.1.0 that are written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string         `json:"id"`
		Name             string         `json:"name"`
		ShortDescription sarifText      `json:"shortDescription"`
		FullDescription  sarifText      `json:"fullDescription"`
		Help             sarifHelp      `json:"help"`
		Default          sarifDefault   `json:"defaultConfiguration"`
		Properties       sarifRuleProps `json:"properties"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifHelp struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifRuleProps struct {
		Tags []string `json:"tags"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification,omitempty"`
	}
)

const rootBase = "%SRCROOT%"

// WriteSARIF writes the findings in the format of code scanning services,
// SARIF 2.1.0, suppressed ones included and marked as such. Version is the
// program's.
func (r *Result) WriteSARIF(w io.Writer, version string) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "ingot lint", Version: version, Rules: []sarifRule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	index := map[string]int{}
	for i, rule := range Rules() {
		index[rule.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(rule))
	}
	seen := map[string]int{}
	for _, f := range r.Findings {
		print := r.fingerprint(f)
		seen[print]++
		res := sarifResult{
			RuleID: f.Rule.ID, RuleIndex: index[f.Rule.ID], Level: sarifLevel(f.Rule.Severity),
			Message:      sarifText{f.Message},
			Locations:    []sarifLocation{{sarifPhysical{sarifArtifactOf(f.Range.Filename), sarifRegionOf(f.Range)}}},
			Fingerprints: map[string]string{"ruleAndLine/v1": fmt.Sprintf("%s:%d", print, seen[print])},
		}
		if f.Suppressed {
			res.Suppressions = []sarifSuppression{{Kind: "inSource", Justification: f.Reason}}
		}
		run.Results = append(run.Results, res)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func sarifRuleOf(r *Rule) sarifRule {
	return sarifRule{
		ID: r.ID, Name: camel(r.Title),
		ShortDescription: sarifText{r.Title}, FullDescription: sarifText{r.Why},
		Help:       sarifHelp{r.Why + "\n\n" + r.Advice, r.Why + "\n\n**What to do:** " + r.Advice + "\n\nMore: `" + r.Document() + "`"},
		Default:    sarifDefault{sarifLevel(r.Severity)},
		Properties: sarifRuleProps{[]string{r.family().Title}},
	}
}

// family is the group that the rule's id belongs to.
func (r *Rule) family() Family {
	letters := strings.TrimRight(r.ID, "0123456789")
	for _, f := range Families() {
		if f.Letters == letters {
			return f
		}
	}
	return Family{letters, letters}
}

// camel joins the words of a title, as names of rules are written.
func camel(title string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(title, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func sarifLevel(s diag.Severity) string {
	switch s {
	case diag.Error:
		return "error"
	case diag.Warning:
		return "warning"
	}
	return "note"
}

func sarifArtifactOf(name string) sarifArtifact {
	slashed := filepath.ToSlash(name)
	if filepath.IsAbs(name) {
		u := url.URL{Scheme: "file", Path: slashed}
		return sarifArtifact{URI: u.String()}
	}
	u := url.URL{Path: slashed}
	return sarifArtifact{URI: strings.TrimPrefix(u.String(), "./"), URIBaseID: rootBase}
}

// sarifRegionOf is a place; lines and columns start at 1 there, also for what
// has no place in the text.
func sarifRegionOf(r hcl.Range) sarifRegion {
	out := sarifRegion{max(r.Start.Line, 1), max(r.Start.Column, 1), max(r.End.Line, 1), max(r.End.Column, 1)}
	if out.EndLine < out.StartLine || out.EndLine == out.StartLine && out.EndColumn < out.StartColumn {
		out.EndLine, out.EndColumn = out.StartLine, out.StartColumn
	}
	return out
}

// fingerprint stays the same when lines are added elsewhere in the file.
func (r *Result) fingerprint(f Finding) string {
	line := ""
	lines := strings.Split(string(r.Sources[f.Range.Filename]), "\n")
	if n := f.Range.Start.Line; n >= 1 && n <= len(lines) {
		line = strings.TrimSpace(lines[n-1])
	}
	sum := sha256.Sum256([]byte(f.Rule.ID + "\x00" + filepath.ToSlash(f.Range.Filename) + "\x00" + line))
	return hex.EncodeToString(sum[:8])
}
