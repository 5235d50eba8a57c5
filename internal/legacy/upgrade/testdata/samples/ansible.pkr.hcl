packer {
  required_plugins {
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "~> 1"
    }
    chef = {
      source  = "github.com/hashicorp/chef"
      version = "~> 1"
    }
    puppet = {
      source  = "github.com/hashicorp/puppet"
      version = "~> 1"
    }
  }
}

source "null" "null" {
  ssh_host     = "127.0.0.1"
  ssh_username = "u"
  ssh_password = "p"
}

build {
  sources = ["source.null.null"]

  provisioner "ansible" {
    playbook_file    = "./playbook.yml"
    extra_arguments  = ["--extra-vars", "a=b"]
    ansible_env_vars = ["A=b"]
    user             = "root"
  }

  provisioner "ansible-local" {
    playbook_file   = "p.yml"
    extra_arguments = ["-v"]
    galaxy_file     = "r.yml"
  }

  provisioner "puppet-masterless" {
    manifest_file = "site.pp"
    facter = {
      a = "b"
    }
  }

  provisioner "chef-solo" {
    cookbook_paths = ["c"]
    json = {
      a = {
        b = [
          1,
          {
            c = true
          },
        ]
      }
    }
  }
}

