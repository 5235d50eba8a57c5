package winrm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ingot/internal/component"
)

// remoteError is what a script says has gone wrong on the machine.
type remoteError struct {
	exception, text string
}

// Error is the machine's text.
func (e *remoteError) Error() string { return strings.Join(strings.Fields(e.text), " ") }

// Is gives the machine's errors their kind.
func (e *remoteError) Is(target error) bool {
	switch e.exception {
	case "FileNotFoundException", "DirectoryNotFoundException", "DriveNotFoundException":
		return target == fs.ErrNotExist
	case "UnauthorizedAccessException", "SecurityException":
		return target == fs.ErrPermission
	}
	return false
}

// complaint reads a line "!EXCEPTION MESSAGE".
func complaint(line string) error {
	exception, encoded, _ := strings.Cut(strings.TrimPrefix(line, "!"), " ")
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || len(text) == 0 {
		text = []byte(exception)
	}
	return &remoteError{exception, string(text)}
}

// verdict says whether a script has succeeded: only when its last word is the
// one that it says at its end.
func verdict(exit component.Exit, out, errs string) error {
	last := ""
	for _, line := range strings.Split(out, "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if strings.HasPrefix(line, "!") {
			return complaint(line)
		}
		if line != "" {
			last = line
		}
	}
	if exit.Code == 0 && last == "." {
		return nil
	}
	text := strings.Join(strings.Fields(errs), " ")
	if text == "" {
		text = "it says nothing"
	}
	if exit.Code == 0 {
		return errors.New("the script on the machine did not come to its end: " + text)
	}
	return fmt.Errorf("the script on the machine ended with %s: %s", exit, text)
}
