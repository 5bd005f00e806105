// cert-manager's solver of HTTP-01 challenges, which takes the address to listen on as well as the port.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"

	"github.com/go-logr/logr"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
)

const noPort = -1

func main() {
	host := flag.String("host", "", "the address to listen on; empty: all")
	port := flag.Int("listen-port", 8089, "the port to listen on")
	challenge := &solver.HTTP01Solver{ListenPort: noPort}
	flag.StringVar(&challenge.Domain, "domain", "", "the name that is to be proved")
	flag.StringVar(&challenge.Token, "token", "", "what the question ends with")
	flag.StringVar(&challenge.Key, "key", "", "the answer")
	flag.Parse()

	// Listen takes every address. At a port that there is none of it fails, and leaves its handler.
	if err := challenge.Listen(logr.Discard()); challenge.Handler == nil {
		log.Fatal(err)
	}
	address := net.JoinHostPort(*host, strconv.Itoa(*port))
	fmt.Println("listening on", address)
	log.Fatal((&http.Server{Addr: address, Handler: challenge.Handler, ReadHeaderTimeout: challenge.ReadHeaderTimeout}).ListenAndServe())
}
