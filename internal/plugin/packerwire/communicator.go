package packerwire

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"ingot/internal/component"
)

const communicatorService = "Communicator"

// disconnectedStatus is the exit status of a command whose machine was lost.
const disconnectedStatus = 2300218

type startArgs struct {
	Command          string
	StdinStreamId    uint32
	StdoutStreamId   uint32
	StderrStreamId   uint32
	ResponseStreamId uint32
}

type uploadArgs struct {
	Path           string
	ReaderStreamId uint32
	FileInfo       *fileInfo
}

type downloadArgs struct {
	Path           string
	WriterStreamId uint32
}

type dirArgs struct {
	Dst     string
	Src     string
	Exclude []string
}

// fileInfo describes a file: its base name, size, mode as Go has it, and time.
type fileInfo struct {
	N string
	S int64
	M uint32
	T Value
}

func (i *fileInfo) meta() component.FileMeta {
	if i == nil {
		return component.FileMeta{Size: -1}
	}
	m := component.FileMeta{Mode: fs.FileMode(i.M).Perm(), Size: i.S}
	m.ModTime, _ = i.T.Any.(time.Time)
	return m
}

// commandFinished is what comes over the response stream of a command, as gob.
type commandFinished struct{ ExitStatus int }

// fileError finds out which of the errors of component.Communicator a text of the other
// side stands for: only texts cross.
func fileError(err error) error {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return err
	}
	text := strings.ToLower(remote.Message)
	for _, known := range []struct {
		words string
		is    error
	}{
		{"no such file", fs.ErrNotExist}, {"file does not exist", fs.ErrNotExist}, {"could not find the file", fs.ErrNotExist},
		{"permission denied", fs.ErrPermission},
		{component.ErrUnsupported.Error(), component.ErrUnsupported},
		{component.ErrDisconnected.Error(), component.ErrDisconnected},
	} {
		if strings.Contains(text, known.words) {
			return &remoteFileError{remote, known.is}
		}
	}
	return err
}

// remoteFileError is an error of the other side that is one of ours.
type remoteFileError struct {
	*RemoteError
	is error
}

func (e *remoteFileError) Unwrap() []error { return []error{e.RemoteError, e.is} }
