package lint

import (
	"encoding/json"
	"io"
	"strings"

	"ingot/internal/diag"
)

// The JSON form; fields are only ever added.
type (
	jsonResult struct {
		Findings   []jsonFinding `json:"findings"`
		Suppressed []jsonFinding `json:"suppressed"`
		Summary    jsonSummary   `json:"summary"`
	}
	jsonFinding struct {
		Rule     string   `json:"rule"`
		Severity string   `json:"severity"`
		Title    string   `json:"title"`
		Message  string   `json:"message"`
		Advice   string   `json:"advice"`
		Help     string   `json:"help"`
		File     string   `json:"file"`
		Start    jsonSpot `json:"start"`
		End      jsonSpot `json:"end"`
		Reason   string   `json:"reason,omitempty"`
	}
	jsonSpot struct {
		Line   int `json:"line"`
		Column int `json:"column"`
	}
	jsonSummary struct {
		Errors     int `json:"errors"`
		Warnings   int `json:"warnings"`
		Infos      int `json:"infos"`
		Suppressed int `json:"suppressed"`
	}
)

// WriteJSON writes the findings as one JSON object.
func (r *Result) WriteJSON(w io.Writer) error {
	out := jsonResult{Findings: []jsonFinding{}, Suppressed: []jsonFinding{}}
	for _, f := range r.Findings {
		j := jsonFinding{
			Rule: f.Rule.ID, Severity: strings.ToLower(f.Rule.Severity.String()), Title: f.Rule.Title,
			Message: f.Message, Advice: f.Rule.Advice, Help: f.Rule.Document(), File: f.Range.Filename,
			Start: jsonSpot{f.Range.Start.Line, f.Range.Start.Column}, End: jsonSpot{f.Range.End.Line, f.Range.End.Column},
			Reason: f.Reason,
		}
		if f.Suppressed {
			out.Suppressed = append(out.Suppressed, j)
			continue
		}
		out.Findings = append(out.Findings, j)
	}
	errs, warnings, infos := r.Count()
	out.Summary = jsonSummary{errs, warnings, infos, len(out.Suppressed)}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// Count counts the findings that are not suppressed by their severity.
func (r *Result) Count() (errors, warnings, infos int) {
	for _, f := range r.Active() {
		switch f.Rule.Severity {
		case diag.Error:
			errors++
		case diag.Warning:
			warnings++
		default:
			infos++
		}
	}
	return errors, warnings, infos
}
