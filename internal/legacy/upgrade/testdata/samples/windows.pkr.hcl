packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1"
    }
  }
}

variable "user" {
  type    = string
  default = "Administrator"
}

source "amazon-ebs" "amazon-ebs" {
  region         = "r"
  source_ami     = "ami-1"
  instance_type  = "t"
  ami_name       = "n"
  communicator   = "winrm"
  winrm_username = var.user
  winrm_timeout  = "15m"
  winrm_use_ssl  = true
}

build {
  sources = ["source.amazon-ebs.amazon-ebs"]

  provisioner "powershell" {
    inline            = ["Write-Host \"$env:A\"", "Set-Item -Path C:\\x"]
    environment_vars  = ["A=$b"]
    elevated_user     = var.user
    elevated_password = build.Password
    valid_exit_codes  = [0, 3010]
  }

  provisioner "windows-restart" {
    restart_timeout       = "10m"
    restart_check_command = "powershell -command \"& {Write-Output 'ok'}\""
  }

  provisioner "windows-shell" {
    inline = ["dir c:\\"]
  }
}

