packer {
  required_plugins {
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1"
    }
  }
}

variable "proxy" {
  type    = string
  default = "http://p"
}

variable "script" {
  type    = string
  default = "minimal.json"
}

source "docker" "docker" {
  image   = "debian"
  discard = "true"
}

build {
  sources = ["source.docker.docker"]

  provisioner "shell" {
    scripts             = ["minimal.json", "${abspath(path.root)}/docker.json"]
    environment_vars    = ["http_proxy=${var.proxy}"]
    execute_command     = "echo 'p' | {{.Vars}} sudo -S -E bash '{{.Path}}'"
    expect_disconnect   = true
    start_retry_timeout = "5m0s"
    pause_after         = "10s"
  }

  provisioner "shell" {
    script           = var.script
    valid_exit_codes = [0]
    env = {
      A = "1"
    }
  }

  provisioner "shell" {
    inline           = ["echo one"]
    environment_vars = ["A=1", "B=2"]
  }
}

