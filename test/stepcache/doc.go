// Package stepcache builds images of random templates, with what earlier builds have
// saved and without, and compares them.
package stepcache
