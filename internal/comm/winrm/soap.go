package winrm

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// envelope is what is read of an answer.
type envelope struct {
	ShellID   string   `xml:"Body>Shell>ShellId"`
	CommandID string   `xml:"Body>CommandResponse>CommandId"`
	Streams   []stream `xml:"Body>ReceiveResponse>Stream"`
	State     struct {
		State    string  `xml:"State,attr"`
		ExitCode *string `xml:"ExitCode"`
	} `xml:"Body>ReceiveResponse>CommandState"`
	Fault *fault `xml:"Body>Fault"`
	// Selectors holds the shell where the answer names it only as a reference.
	Selectors []struct {
		Name  string `xml:"Name,attr"`
		Value string `xml:",chardata"`
	} `xml:"Body>ResourceCreated>ReferenceParameters>SelectorSet>Selector"`
}

type stream struct {
	Name string `xml:"Name,attr"`
	Data string `xml:",chardata"`
}

// fault is the server's refusal to do something.
type fault struct {
	Subcode string `xml:"Code>Subcode>Value"`
	Reason  string `xml:"Reason>Text"`
	Detail  struct {
		Code    string `xml:"Code,attr"`
		Message string `xml:"Message"`
	} `xml:"Detail>WSManFault"`
}

// Numbers of faults.
const (
	faultTimeout     = "2150858793" // nothing happened within OperationTimeout
	faultNoShell     = "2150858843" // the shell or the command does not exist (any more)
	faultShutdown    = "2150858999" // the service is being stopped
	faultAborted     = "995"        // the operation was aborted, as by a restart
	faultUnavailable = "2150859113" // the machine is shutting down
)

// Error is the server's text and number.
func (f *fault) Error() string {
	text := strings.TrimSpace(f.Detail.Message)
	if text == "" {
		text = strings.TrimSpace(f.Reason)
	}
	if text == "" {
		text = "refused without a reason"
	}
	text = strings.Join(strings.Fields(text), " ")
	if f.Detail.Code != "" {
		return fmt.Sprintf("%s (WS-Management fault %s)", text, f.Detail.Code)
	}
	return text
}

// timedOut: the operation has to be asked for again.
func (f *fault) timedOut() bool {
	return f.Detail.Code == faultTimeout || strings.HasSuffix(f.Subcode, ":TimedOut")
}

// gone: the other side has forgotten what we talk about, as after a restart.
func (f *fault) gone() bool {
	switch f.Detail.Code {
	case faultNoShell, faultShutdown, faultAborted, faultUnavailable:
		return true
	}
	return false
}

func readEnvelope(body []byte) (*envelope, error) {
	e := new(envelope)
	if err := xml.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if e.Fault != nil {
		return nil, e.Fault
	}
	return e, nil
}

// shell is the identifier of the shell that was made.
func (e *envelope) shell() (string, error) {
	if e.ShellID != "" {
		return e.ShellID, nil
	}
	for _, s := range e.Selectors {
		if s.Name == "ShellId" && s.Value != "" {
			return s.Value, nil
		}
	}
	return "", errors.New("the answer does not name the shell that was made")
}

// output is the bytes of a stream.
func (s stream) output() ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s.Data), ""))
	if err != nil {
		return nil, fmt.Errorf("read %s of the command: %w", s.Name, err)
	}
	return data, nil
}

// exit returns how the command ended; false while it has not.
func (e *envelope) exit() (int, bool, error) {
	if !strings.HasSuffix(e.State.State, "/CommandState/Done") {
		return 0, false, nil
	}
	if e.State.ExitCode == nil {
		return 0, true, errors.New("the command ended without an exit code")
	}
	code, err := strconv.ParseInt(strings.TrimSpace(*e.State.ExitCode), 10, 64)
	if err != nil {
		return 0, true, fmt.Errorf("read the exit code: %w", err)
	}
	return int(code), true, nil
}
