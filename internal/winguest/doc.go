// Package winguest runs scripts on Windows machines, for the provisioners that
// do so: it uploads them, runs them as the connected user or, through a
// scheduled task, as another one, and removes them whatever happened.
package winguest
