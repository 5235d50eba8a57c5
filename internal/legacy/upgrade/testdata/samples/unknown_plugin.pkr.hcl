variable "x" {
  type    = string
  default = "y"
}

source "mystery" "m" {
  flat = {
    a = var.x
    b = 2
  }

  deep {
    inner = {
      a = 1
    }

    list {
      k = "v"
    }

    list {
      k = "w"
    }
  }

  many {
    a = 1
  }

  many {
    a = 2
  }

  mixed = [
    1,
    {
      a = 2
    },
  ]
  none   = []
  empty  = {}
  nested = [["a", "b"], []]
}

build {
  sources = ["source.mystery.m"]

  provisioner "enigma" {
    conf {
      a = {
        b = var.x
      }
    }
  }

  post-processor "riddle" {}

  post-processor "puzzle" {
    x = 1.5
  }
}

