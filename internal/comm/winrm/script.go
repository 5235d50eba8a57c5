package winrm

import (
	_ "embed" // the scripts
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

var (
	//go:embed put.ps1
	putSource string
	//go:embed get.ps1
	getSource string
	//go:embed tree.ps1
	treeSource string
	//go:embed parts.ps1
	partsSource string
)

// A script is known by its first line.
const (
	readyScript = "ready"
	putScript   = "put"
	getScript   = "get"
	treeScript  = "tree"
)

// script is the text of a script: with the parts that it shares with others,
// and without what only readers need, because a command line is short.
func script(name string) string {
	parts := map[string]string{}
	for _, p := range strings.Split(partsSource, "#part ")[1:] {
		name, text, _ := strings.Cut(p, "\n")
		parts[name] = text
	}
	source := map[string]string{
		putScript: putSource, getScript: getSource, treeScript: treeSource, readyScript: parts["ready"],
	}[name]
	for _, part := range []string{"path", "read", "fail"} {
		source = strings.Replace(source, "#"+part+"\n", parts[part], 1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# ingot %s\n$ProgressPreference='SilentlyContinue'\n", name)
	text := b.String()
	if strings.Contains(source, "begin {") {
		// A script with blocks has nothing outside of them.
		text = fmt.Sprintf("# ingot %s\n", name)
	}
	for _, line := range strings.Split(source, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			text += line + "\n"
		}
	}
	return text
}

// powershell is the command line that runs a script.
func powershell(script string) string {
	units := utf16.Encode([]rune(script))
	raw := make([]byte, 0, 2*len(units))
	for _, u := range units {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	return "powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat Text -OutputFormat Text -EncodedCommand " +
		base64.StdEncoding.EncodeToString(raw)
}
