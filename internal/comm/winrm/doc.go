// Package winrm reaches Windows machines over WinRM (WS-Management).
//
// Every command gets a remote shell of its own, as after a new login: what an
// installer adds to the machine's environment is there for the next command.
//
// WinRM has no file transfer. Files travel as lines of base64 through the
// standard streams of PowerShell scripts (the *.ps1 files here), large ones through
// several shells at a time. Whoever receives compares the SHA-256 sum.
//
// The library that composes the requests sends them without a context and takes no
// notice of failed sends, so sending, waiting and reading answers are done here.
package winrm
