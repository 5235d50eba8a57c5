variable "port" {
  type    = string
  default = "22"
}

source "null" "null" {
  ssh_host                = "127.0.0.1"
  ssh_port                = var.port
  ssh_username            = "u"
  ssh_password            = "p"
  ssh_pty                 = "true"
  ssh_handshake_attempts  = 1e1
  ssh_timeout             = "5m"
  ssh_keep_alive_interval = "-5s"
  ssh_ciphers             = ["aes128-ctr", "aes256-ctr"]
  ssh_local_tunnels       = []
}

build {
  sources = ["source.null.null"]
}

