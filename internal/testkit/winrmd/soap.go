//go:build unix

package winrmd

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"path"
	"strings"
	"sync/atomic"
)

// request is what the server reads of an envelope.
type request struct {
	Action    string `xml:"Header>Action"`
	MessageID string `xml:"Header>MessageID"`
	Timeout   string `xml:"Header>OperationTimeout"`
	Selectors []struct {
		Name  string `xml:"Name,attr"`
		Value string `xml:",chardata"`
	} `xml:"Header>SelectorSet>Selector"`
	Options []struct {
		Name  string `xml:"Name,attr"`
		Value string `xml:",chardata"`
	} `xml:"Header>OptionSet>Option"`
	Command   string   `xml:"Body>CommandLine>Command"`
	Arguments []string `xml:"Body>CommandLine>Arguments"`
	Stream    struct {
		Name      string `xml:"Name,attr"`
		CommandID string `xml:"CommandId,attr"`
		End       bool   `xml:"End,attr"`
		Data      string `xml:",chardata"`
	} `xml:"Body>Send>Stream"`
	Desired struct {
		CommandID string `xml:"CommandId,attr"`
	} `xml:"Body>Receive>DesiredStream"`
	Signal struct {
		CommandID string `xml:"CommandId,attr"`
		Code      string `xml:"Code"`
	} `xml:"Body>Signal"`
}

func parse(body []byte) (*request, error) {
	r := new(request)
	if err := xml.NewDecoder(bytes.NewReader(body)).Decode(r); err != nil {
		return nil, fmt.Errorf("winrmd: read an envelope: %w", err)
	}
	return r, nil
}

func (r *request) action() string { return path.Base(r.Action) }

func (r *request) shellID() string {
	for _, s := range r.Selectors {
		if s.Name == "ShellId" {
			return s.Value
		}
	}
	return ""
}

// reply is the answer to a request.
type reply struct {
	status int
	action string
	body   string
}

const (
	nsShell    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	nsTransfer = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
)

func done(action, body string) reply { return reply{200, action, body} }

func faulty(subcode string, code uint32, text string) reply {
	return reply{500, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", fmt.Sprintf(
		`<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>%s</s:Value></s:Subcode></s:Code>`+
			`<s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason><s:Detail><f:WSManFault Code="%d" Machine="winrmd">`+
			`<f:Message>%s</f:Message></f:WSManFault></s:Detail></s:Fault>`, subcode, text, code, text)}
}

func (p reply) envelope(r *request) string {
	return fmt.Sprintf(`<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" `+
		`xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" `+
		`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="%s" xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault">`+
		`<s:Header><a:Action>%s</a:Action><a:MessageID>uuid:%s</a:MessageID><a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>`,
		nsShell, p.action, newID(), escaped(r.MessageID), p.body)
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

var lastID atomic.Uint64

// newID makes something that looks like a UUID.
func newID() string {
	return fmt.Sprintf("11111111-2222-4333-8444-%012X", lastID.Add(1))
}
