package fix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/legacy/jsondoc"
)

// Ensure that every fixer that would change something is named, at the place
// of the change, and that the document stays as it is.
func TestFindings(t *testing.T) {
	const src = `{
  "builders": [
    {"type": "amazon-ebs", "shutdown_behaviour": "stop", "ami_name": "a {{.CreateTime}}"},
    {"type": "qemu", "iso_md5": "x"},
    {"type": "vmware-iso", "remote_type": "esx5"}
  ],
  "post-processors": [["a", {"type": "docker-tag", "tag": "x"}]]
}`
	doc, diags := jsondoc.Parse([]byte(src), "t.json")
	if diags != nil {
		t.Fatal(diags.Err())
	}
	before := string(doc.Print())
	got := map[string]string{}
	for _, d := range Findings(doc) {
		name := strings.TrimPrefix(d.Summary, "Outdated setting: ")
		if d.Subject == nil {
			got[name] = "nowhere"
			continue
		}
		got[name] = src[d.Subject.Start.Byte:d.Subject.End.Byte]
	}
	want := map[string]string{
		"iso-md5": `"iso_md5"`, "createtime": `"a {{.CreateTime}}"`, "amazon-shutdown_behavior": `"shutdown_behaviour"`,
		"docker-tag-tags": `"tag"`, "vmware-compaction": "", "iso-checksum-type-and-url": `"x"`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if string(doc.Print()) != before {
		t.Error("the document changed")
	}
	if found := Findings(jsondoc.NewString("x")); found != nil {
		t.Errorf("of a string: %v", found)
	}
}
