package packerwire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
)

const uiService = "Ui"

// maxBars is how many progress bars of one stream may be open.
const maxBars = 1000

type machineArgs struct {
	Category string
	Args     []string
}

type trackArgs struct {
	Src         string
	TotalSize   int64
	CurrentSize int64
}

// UI talks to the user of the host.
type UI struct{ *Caller }

// Say prints a text.
func (u UI) Say(ctx context.Context, text string) error {
	return u.Call(ctx, uiService+".Say", text, nil)
}

// Message prints a text of less weight.
func (u UI) Message(ctx context.Context, text string) error {
	return u.Call(ctx, uiService+".Message", text, nil)
}

// Error prints a text about something that went wrong.
func (u UI) Error(ctx context.Context, text string) error {
	return u.Call(ctx, uiService+".Error", text, nil)
}

// Machine prints a line for programs.
func (u UI) Machine(ctx context.Context, category string, args []string) error {
	return u.Call(ctx, uiService+".Machine", machineArgs{category, args}, nil)
}

// Ask asks the user a question.
func (u UI) Ask(ctx context.Context, question string) (string, error) {
	var answer string
	err := u.Call(ctx, uiService+".Ask", question, &answer)
	return answer, err
}

// Track opens a progress bar: what is transferred, its size in bytes and how much of it
// has been.
func (u UI) Track(ctx context.Context, what string, total, done int64) (*Bar, error) {
	var id string
	if err := u.Call(ctx, uiService+".NewTrackProgress", trackArgs{what, total, done}, &id); err != nil {
		return nil, err
	}
	return &Bar{u.Caller, id}, nil
}

// Bar is a progress bar of the host.
type Bar struct {
	caller *Caller
	id     string
}

// Add says that n more bytes have been transferred.
func (b *Bar) Add(ctx context.Context, n int64) error {
	return b.caller.Call(ctx, uiService+b.id+".Add", n, nil)
}

// Close says that the transfer has ended.
func (b *Bar) Close(ctx context.Context) error {
	return b.caller.Call(ctx, uiService+b.id+".Close", nil, nil)
}

// UIServer shows things to a user. Texts may hold anything, also line ends and bytes
// that are no UTF-8.
type UIServer interface {
	Say(text string)
	Error(text string)
	Machine(category string, args []string)
	Ask(ctx context.Context, question string) (string, error)
	// Track returns a progress bar. Its methods are not called side by side.
	Track(what string, total, done int64) BarServer
}

// BarServer is a progress bar. Close is called once, at the latest at the end of the
// stream.
type BarServer interface {
	Add(n int64)
	Close()
}

// AddUI adds the service Ui. done closes the progress bars that are left; it is called
// when the stream is not served any more.
func (s Services) AddUI(u UIServer) (done func()) {
	v := &uiServer{ui: u, bars: map[string]*barServer{}}
	s[uiService] = v
	return v.closeBars
}

type uiServer struct {
	ui   UIServer
	mu   sync.Mutex
	bars map[string]*barServer // guarded by mu
}

func (s *uiServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	var text string
	switch method {
	case "Say", "Message", "Error", "Ask":
		if err := arg(&text); err != nil {
			return nil, err
		}
	}
	switch method {
	case "Say", "Message":
		s.ui.Say(text)
		return nil, nil
	case "Error":
		s.ui.Error(text)
		return nil, nil
	case "Ask":
		return s.ui.Ask(ctx, text)
	case "Machine":
		var a machineArgs
		if err := arg(&a); err != nil {
			return nil, err
		}
		s.ui.Machine(a.Category, a.Args)
		return nil, nil
	case "NewTrackProgress":
		var a trackArgs
		if err := arg(&a); err != nil {
			return nil, err
		}
		return s.open(a)
	}
	return nil, ErrNoMethod
}

func (s *uiServer) open(a trackArgs) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bars) >= maxBars {
		return nil, fmt.Errorf("more than %d progress bars are open", maxBars)
	}
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	id := a.Src + hex.EncodeToString(random[:])
	s.bars[id] = &barServer{bar: s.ui.Track(a.Src, a.TotalSize, a.CurrentSize), end: func() { s.forget(id) }}
	return id, nil
}

func (s *uiServer) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bars, id)
}

// Below is the progress bar of an id.
func (s *uiServer) Below(id string) Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bar := s.bars[id]; bar != nil {
		return bar
	}
	return nil
}

func (s *uiServer) closeBars() {
	s.mu.Lock()
	left := s.bars
	s.bars = map[string]*barServer{}
	s.mu.Unlock()
	for _, bar := range left {
		bar.close()
	}
}

type barServer struct {
	mu     sync.Mutex
	bar    BarServer
	closed bool
	end    func()
}

func (b *barServer) Call(_ context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "Add":
		var n int64
		if err := arg(&n); err != nil {
			return nil, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.closed {
			b.bar.Add(n)
		}
		return nil, nil
	case "Close":
		b.close()
		b.end()
		return nil, nil
	}
	return nil, ErrNoMethod
}

func (b *barServer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.bar.Close()
	}
}
